//! Which of the two signalling protocols a datagram is of, and that it is answered in kind.

use super::acquaintance::Directory;
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

/// A datagram that has no effect.
#[derive(Debug)]
pub(super) enum Rejected {
    /// Why not, and what its sender may be told in spite of that.
    Dropped {
        reason: DropReason,
        answer: Option<Transmit>,
    },
    /// It is to be sent again, with what this says.
    Challenged(Transmit),
}

impl From<DropReason> for Rejected {
    fn from(reason: DropReason) -> Self {
        Self::Dropped {
            reason,
            answer: None,
        }
    }
}

/// The Binding Update in this datagram, and how it is to be answered.
pub(super) fn open(
    directory: Directory<'_>,
    pools: &Pools,
    datagram: &Datagram<'_>,
) -> Result<(BindingUpdate, Envelope), Rejected> {
    match Family::of(datagram.source) {
        Family::Ipv4 => {
            let (update, envelope) = mip4::open(directory, pools, datagram)?;
            Ok((update, Envelope::Mip4(envelope)))
        }
        Family::Ipv6 => {
            let (update, envelope) = mip6::open(directory, pools, datagram)?;
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
