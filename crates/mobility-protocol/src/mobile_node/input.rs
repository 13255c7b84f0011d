//! From a datagram anybody may have sent to an input of a binding's state machine.

use std::time::Instant;

use super::MobileNode;
use super::attempt::Purpose;
use super::signalling::{self, BindingAcknowledgement, Verdict};
use super::status::Drop;
use super::transitions::{Grant, Input};
use crate::{Datagram, HomeAddress, Lifetime};

impl MobileNode {
    /// Cheap checks first: the source, the form, the request it would answer; then the proof, and
    /// only then anything it says.
    pub(super) fn try_input(&mut self, datagram: Datagram<'_>, now: Instant) -> Result<(), Drop> {
        let mut candidates = self
            .entries
            .values()
            .filter(|entry| {
                entry.signalling == datagram.source
                    && signalling::transport(entry.signalling) == datagram.transport
            })
            .peekable();
        candidates.peek().ok_or(Drop::UnexpectedSource)?;
        let acknowledgement = BindingAcknowledgement::decode(datagram.payload)?;
        let low = acknowledgement.low();
        let (entry, (request, latest)) = candidates
            .find_map(|entry| Some((entry, entry.outstanding.find(low)?)))
            .ok_or(Drop::UnmatchedIdentification)?;
        let agent = entry.agent;
        let verdict =
            acknowledgement.verify(datagram.payload, &entry.association, &self.config.identity)?;
        let input = match verdict {
            Verdict::Accepted {
                lifetime,
                home_address,
                home_agent,
            } => {
                if !signalling::is_supported(home_agent)
                    || self.local_addresses.contains(&home_agent)
                {
                    return Err(Drop::HomeAgentUnusable);
                }
                if lifetime == Lifetime::Zero && request.purpose != Purpose::Release {
                    return Err(Drop::LifetimeZero);
                }
                let home_address = HomeAddress(home_address);
                if request
                    .home_address
                    .is_some_and(|asked| asked != home_address)
                {
                    return Err(Drop::HomeAddressMismatch);
                }
                Input::Accepted(
                    request,
                    Grant {
                        home_address,
                        tunnel_end: home_agent,
                        lifetime,
                    },
                )
            }
            Verdict::WrongTime { .. } if !latest => return Err(Drop::StaleReply),
            Verdict::WrongTime { .. } => Input::TryAgain(request),
            Verdict::WrongHomeAgent { .. } if !latest => return Err(Drop::StaleReply),
            Verdict::WrongHomeAgent { right } => {
                if !signalling::is_supported(right) || self.local_addresses.contains(&right) {
                    return Err(Drop::HomeAgentUnusable);
                }
                Input::Redirected(request, right)
            }
            Verdict::Disowned(refusal) => Input::Disowned(request, refusal),
            Verdict::Refused(refusal) => Input::Refused(request, refusal),
        };
        self.out.counters.reply(acknowledgement.code());
        let unix_time = self.wall.unix_time(now);
        let resynchronisations = &mut self.out.counters.resynchronisations;
        if let Some(memory) = self.memories.get_mut(&agent) {
            match verdict {
                Verdict::WrongTime { high } => {
                    memory.clock.resynchronise(high, unix_time);
                    *resynchronisations += 1;
                }
                Verdict::Accepted { .. } => memory.clock.accept(request.identification),
                Verdict::WrongHomeAgent { .. } | Verdict::Disowned(_) | Verdict::Refused(_) => {}
            }
        }
        self.with_entry(agent, now, |entry, context| {
            entry.outstanding.remove(request.identification);
            entry.handle(input, context);
        });
        Ok(())
    }
}
