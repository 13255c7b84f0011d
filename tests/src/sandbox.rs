//! A room of its own for the lab's process.
//!
//! The process starts itself again as process 1 of a new process-id namespace with a private mount tree. When
//! process 1 ends, the kernel kills all that was started in the room, and with the last process go the network
//! namespaces, the mounts and the files under [`ROOM`]. So a panic, a Ctrl-C or a SIGKILL leaves nothing behind.

use std::{
    env, fs, io,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, ExitCode},
    thread,
};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    sys::{
        prctl,
        signal::{SigSet, Signal, kill},
    },
    unistd::{Pid, getgid, getuid},
};

use tokio::signal::unix::SignalKind;

use crate::LabError;

/// The lab's files: on a tmpfs that only the room sees.
pub const ROOM: &str = "/run/lab";

/// The machine's own /etc, as seen from within nodes (whose /etc is their own).
pub(crate) const MACHINE_ETC: &str = "/run/lab/.etc";

const INSIDE: &str = "CHA_LAB_INSIDE";

/// What became of the wish to enter the room.
pub enum Entry {
    /// This process is in the room: go on.
    Inside,
    /// The work was done by a child in the room, which ended so.
    Done(ExitCode),
    /// This machine does not allow it, with the reason.
    Refused(String),
}

/// Enters the room. Call it first in `main`, before any thread starts.
pub fn enter() -> Entry {
    if env::var_os(INSIDE).is_some() {
        return match furnish() {
            Ok(()) => Entry::Inside,
            Err(error) => Entry::Refused(error.to_string()),
        };
    }
    match start_again() {
        Ok(code) => Entry::Done(code),
        Err(error) => Entry::Refused(error.to_string()),
    }
}

/// Runs `then` and ends the process when the terminal or a parent asks to stop (SIGINT, SIGTERM, SIGHUP).
pub fn on_interrupt(then: impl FnOnce() + Send + 'static) -> Result<(), LabError> {
    // Handlers, not a blocked mask: programs would inherit the mask.
    let what = "listen to signals";
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(LabError::io(what))?;
    let mut listeners = {
        let _entered = runtime.enter();
        let listen = |kind| tokio::signal::unix::signal(kind).map_err(LabError::io(what));
        [
            listen(SignalKind::interrupt())?,
            listen(SignalKind::terminate())?,
            listen(SignalKind::hangup())?,
        ]
    };
    thread::spawn(move || {
        let [interrupt, terminate, hangup] = &mut listeners;
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
        });
        then();
        std::process::exit(130);
    });
    Ok(())
}

fn stop_signals() -> SigSet {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        signals.add(signal);
    }
    signals
}

fn start_again() -> Result<ExitCode, LabError> {
    // Whoever started this process must not outlive it in vain: a killed runner takes the room along.
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(LabError::errno("prctl"))?;
    let mut signals = stop_signals();
    signals.add(Signal::SIGCHLD);
    signals
        .thread_block()
        .map_err(LabError::errno("block signals"))?;
    if getuid().is_root() {
        unshare(CloneFlags::CLONE_NEWPID)
            .map_err(LabError::errno("unshare a process-id namespace"))?;
    } else {
        become_root_of_a_user_namespace()?;
    }
    let program = env::current_exe().map_err(LabError::io("find this program"))?;
    let mut child = Command::new(&program)
        .args(env::args_os().skip(1))
        .env(INSIDE, "1")
        .spawn()
        .map_err(LabError::io(format!("start {} again", program.display())))?;
    loop {
        if let Some(status) = child
            .try_wait()
            .map_err(LabError::io("wait for the room"))?
        {
            let code = status
                .code()
                .or(status.signal().map(|signal| 128 + signal))
                .unwrap_or(1);
            return Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)));
        }
        let signal = signals
            .wait()
            .map_err(LabError::errno("wait for a signal"))?;
        if signal == Signal::SIGTERM || signal == Signal::SIGHUP {
            // Ctrl-C reaches the child through the terminal's process group by itself.
            let child_pid = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
            let _gone_already = kill(child_pid, signal);
        }
    }
}

fn become_root_of_a_user_namespace() -> Result<(), LabError> {
    let (uid, gid) = (getuid(), getgid());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWPID).map_err(LabError::errno(
        "not root, and this kernel does not let users make user namespaces",
    ))?;
    let write = |path: &str, text: String| {
        fs::write(path, text).map_err(LabError::io(format!("write {path}")))
    };
    write("/proc/self/setgroups", "deny".to_owned())?;
    write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    write("/proc/self/gid_map", format!("0 {gid} 1"))
}

fn furnish() -> Result<(), LabError> {
    // The parent waits for signals with a blocked mask, which this process inherited.
    SigSet::all()
        .thread_unblock()
        .map_err(LabError::errno("unblock signals"))?;
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(LabError::errno("prctl"))?;
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET)
        .map_err(LabError::errno("unshare mount and network namespaces"))?;
    let nothing = None::<&str>;
    mount(
        nothing,
        "/",
        nothing,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        nothing,
    )
    .map_err(LabError::errno("make the mounts private"))?;
    mount(
        Some("proc"),
        "/proc",
        Some("proc"),
        MsFlags::empty(),
        nothing,
    )
    .map_err(LabError::errno("mount /proc"))?;
    mount(
        Some("tmpfs"),
        "/run",
        Some("tmpfs"),
        MsFlags::empty(),
        Some("mode=755"),
    )
    .map_err(LabError::errno("mount /run"))?;
    fs::create_dir_all(MACHINE_ETC).map_err(LabError::io(format!("make {MACHINE_ETC}")))?;
    bind(Path::new("/etc"), Path::new(MACHINE_ETC))?;
    // Where devices are only root's, an ordinary user's room has no tunnels.
    fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/net/tun")
        .map(drop)
        .map_err(LabError::io("open /dev/net/tun"))
}

/// Shows the tree at `from` also at `to`.
pub(crate) fn bind(from: &Path, to: &Path) -> Result<(), LabError> {
    mount(
        Some(from),
        to,
        None::<&str>,
        MsFlags::MS_BIND | MsFlags::MS_REC,
        None::<&str>,
    )
    .map_err(io::Error::from)
    .map_err(LabError::io(format!(
        "bind {} to {}",
        from.display(),
        to.display()
    )))
}

/// Whether the room belongs to the machine's real root: some programs (sshd) must change their user.
#[must_use]
pub fn is_real_root() -> bool {
    fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| {
        map.split_whitespace()
            .nth(2)
            .is_some_and(|count| count != "1")
    })
}
