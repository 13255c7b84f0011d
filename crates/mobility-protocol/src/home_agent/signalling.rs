//! Which of the two signalling protocols a datagram is of, and that it is answered in kind.

use super::config::Policy;
use super::counters::DropReason;
use super::message::{Acknowledgement, Answer, BindingUpdate};
use super::pools::Pools;
use super::{mip4, mip6};
use crate::{Datagram, Family, Transmit};

/// How a Binding Update is to be answered.
#[derive(Debug)]
pub(super) enum Envelope {
    Mip4(mip4::Envelope),
    Mip6(mip6::Envelope),
}

/// Why a datagram has no effect, and what its sender is told in spite of that.
#[derive(Debug)]
pub(super) struct Rejected {
    pub(super) reason: DropReason,
    pub(super) answer: Option<Transmit>,
}

impl From<DropReason> for Rejected {
    fn from(reason: DropReason) -> Self {
        Self {
            reason,
            answer: None,
        }
    }
}

/// The Binding Update in this datagram, and how it is to be answered.
pub(super) fn open(
    policy: &Policy,
    pools: &Pools,
    datagram: &Datagram<'_>,
) -> Result<(BindingUpdate, Envelope), Rejected> {
    match Family::of(datagram.source) {
        Family::Ipv4 => {
            let (update, envelope) = mip4::open(policy, pools, datagram)?;
            Ok((update, Envelope::Mip4(envelope)))
        }
        Family::Ipv6 => {
            let (update, envelope) = mip6::open(policy, pools, datagram)?;
            Ok((update, Envelope::Mip6(envelope)))
        }
    }
}

impl Envelope {
    /// The Acknowledgement that says this.
    pub(super) fn answer(
        &self,
        update: &BindingUpdate,
        acknowledgement: &Acknowledgement,
    ) -> Answer {
        match self {
            Self::Mip4(envelope) => envelope.answer(update, acknowledgement),
            Self::Mip6(envelope) => envelope.answer(update, acknowledgement),
        }
    }
}
