//! `resolv.conf`: followed, and in [`Mode::ResolvConf`](crate::Mode) written
//! and restored.

mod content;
mod file;
mod follower;
mod installation;

pub(crate) use follower::Follower;
pub(crate) use installation::Installation;

#[cfg(test)]
mod tests;
