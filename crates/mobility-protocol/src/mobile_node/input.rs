//! From a datagram anybody may have sent to an input of a binding's state machine.

use std::time::Instant;

use super::MobileNode;
use super::acquaintance::StoredAcquaintance;
use super::attempt::Purpose;
use super::authority::Challenged;
use super::entry::Entry;
use super::event::Event;
use super::signalling::{self, Acknowledgement, Hint, Message, Verdict};
use super::status::Drop;
use super::transitions::{Grant, Input};
use crate::{Datagram, Family, HomeAddress, HomeAgentAddress, Lifetime};

impl MobileNode {
    /// Cheap checks first: the source, the form, the request it would answer; then the proof, and
    /// only then anything it says.
    pub(super) fn try_input(&mut self, datagram: Datagram<'_>, now: Instant) -> Result<(), Drop> {
        let family = Family::of(datagram.source);
        if !signalling::is_transport(family, datagram.transport)
            || self.senders(&datagram).next().is_none()
        {
            return Err(Drop::UnexpectedSource);
        }
        match signalling::decode(&datagram)? {
            Message::Acknowledgement(acknowledgement) => {
                self.acknowledged(&acknowledgement, &datagram, now)
            }
            Message::RefreshRequest => {
                let agent = self.asked_to_refresh(&datagram, now)?;
                self.out.counters.refresh_requests += 1;
                self.with_entry(agent, now, |entry, context| {
                    entry.handle(Input::Doubt, context)
                });
                Ok(())
            }
            Message::UnknownBinding => {
                let agent = self.asked_to_refresh(&datagram, now)?;
                self.out.counters.binding_errors += 1;
                self.with_entry(agent, now, |entry, context| {
                    entry.handle(Input::Doubt, context)
                });
                Ok(())
            }
            Message::NotUnderstood => {
                let agent = self
                    .senders(&datagram)
                    .find(|entry| entry.outstanding.latest().is_some())
                    .ok_or(Drop::UnexpectedMessage)?
                    .agent;
                self.out.counters.binding_errors += 1;
                self.with_entry(agent, now, Entry::hurry_on);
                Ok(())
            }
        }
    }

    /// The entries whose home agent is where this came from.
    fn senders(&self, datagram: &Datagram<'_>) -> impl Iterator<Item = &Entry> {
        let source = datagram.source;
        self.entries
            .values()
            .filter(move |entry| entry.signalling == source)
    }

    fn acknowledged(
        &mut self,
        acknowledgement: &Acknowledgement<'_>,
        datagram: &Datagram<'_>,
        now: Instant,
    ) -> Result<(), Drop> {
        let tie = acknowledgement.tie();
        let (entry, (request, latest)) = self
            .senders(datagram)
            .find_map(|entry| Some((entry, entry.outstanding.find(tie)?)))
            .ok_or(Drop::UnmatchedIdentification)?;
        let (agent, attachment) = (entry.agent, entry.attachment);
        let verdict = entry
            .authority
            .verify(acknowledgement, &self.config.identity, &request);
        // Who does not have our key can't prove it. That another one is tried sooner is all that comes
        // of it.
        let without_key = matches!(
            verdict,
            Ok(Verdict::Refused(_)) | Err(Drop::AuthenticationFailed | Drop::AuthenticationMissing)
        );
        if without_key && latest && acknowledgement.refuses_key() {
            let mut tried = false;
            self.with_entry(agent, now, |entry, context| {
                tried = entry.try_next_key(context);
            });
            if tried {
                return Err(Drop::KeyRefused);
            }
        }
        let verdict = verdict?;
        let input = match verdict {
            Verdict::Accepted {
                lifetime,
                home_address,
                home_agent,
                cookie,
                token: _,
            } => {
                if !self.surroundings.lead_to(home_agent) {
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
                        proven: cookie.is_none(),
                    },
                )
            }
            Verdict::NotFresh(_) if !latest => return Err(Drop::StaleReply),
            // It answers an earlier update, for this one's number is later than the last accepted.
            // To go back to that would use numbers twice.
            Verdict::NotFresh(Hint::Sequence(last))
                if request
                    .stamp
                    .sequence
                    .is_some_and(|sequence| sequence.is_after(last)) =>
            {
                return Err(Drop::StaleReply);
            }
            Verdict::NotFresh(_) => Input::TryAgain(request),
            Verdict::WrongHomeAgent { .. } if !latest => return Err(Drop::StaleReply),
            Verdict::WrongHomeAgent { right } => {
                if !self.surroundings.lead_to(right) {
                    return Err(Drop::HomeAgentUnusable);
                }
                Input::Redirected(request, right)
            }
            Verdict::Challenged(_) if !latest => return Err(Drop::StaleReply),
            Verdict::Challenged(challenge) => {
                let source = datagram.source;
                let identity = &self.config.identity;
                let entry = self.entries.get_mut(&agent);
                let entry = entry.ok_or(Drop::UnexpectedMessage)?;
                let challenged = entry.authority.challenged(challenge, source, identity, now);
                if challenged == Err(Drop::OtherKey)
                    && let Some((found, expected)) =
                        challenge.key_share.zip(entry.authority.expected_key())
                {
                    self.out.event(Event::OtherKey {
                        agent,
                        found,
                        expected,
                    });
                }
                match challenged? {
                    Challenged::Answerable => Input::TryAgain(request),
                    Challenged::NewHomeAgent if request.purpose == Purpose::First => {
                        // A first contact has all its transmissions.
                        if let Some(attempt) = entry.attempt_mut() {
                            attempt.start(now);
                        }
                        Input::TryAgain(request)
                    }
                    Challenged::NewHomeAgent => Input::Disowned(request, challenge.refusal),
                }
            }
            Verdict::Disowned(refusal) => Input::Disowned(request, refusal),
            Verdict::Refused(refusal) => Input::Refused(request, refusal),
        };
        self.out.counters.reply(acknowledgement.code());
        let given_nonce = self
            .entries
            .get(&agent)
            .filter(|entry| entry.authority.uses_nonces(request.spi, agent.family()))
            .and_then(|_| acknowledgement.nonce());
        let unix_time = self.wall.unix_time(now);
        if let Some(memory) = self.memories.get_mut(&agent) {
            memory.transport = Some(datagram.transport);
            memory.answered = Some(request.spi);
            if let Some(nonce) = given_nonce {
                memory.given_nonce = Some((request.spi, nonce));
            }
            match verdict {
                Verdict::NotFresh(hint) => {
                    self.out.counters.resynchronisations += 1;
                    match hint {
                        Hint::Clock(_) if given_nonce.is_some() => {}
                        Hint::Clock(high) => {
                            memory.clock.resynchronise(high, unix_time);
                        }
                        Hint::Sequence(last) => memory.sequence = Some(last),
                    }
                }
                Verdict::Accepted { token, .. } => {
                    let entry = self.entries.get(&agent);
                    let agreement = entry.and_then(|entry| entry.authority.stored());
                    if let Some((agreement, token)) = agreement.zip(token) {
                        let care_of = request.path.care_of;
                        let known =
                            StoredAcquaintance::new(agent, agreement, token, care_of, unix_time);
                        memory.acquaintance = Some(known);
                    }
                    if let Some(timestamp) = request.stamp.timestamp
                        && given_nonce.is_none()
                    {
                        memory.clock.accept(timestamp);
                    }
                }
                Verdict::WrongHomeAgent { .. }
                | Verdict::Disowned(_)
                | Verdict::Refused(_)
                | Verdict::Challenged(_) => {}
            }
        }
        self.with_entry(agent, now, |entry, context| {
            // Somebody on the way may have asked for another message before the answer came.
            if !matches!(verdict, Verdict::Challenged(_)) {
                entry.outstanding.remove(request.stamp);
            }
            entry.authority.answered(request.spi);
            if let Verdict::Accepted { cookie, token, .. } = verdict {
                // Elsewhere it is worth nothing.
                let cookie = cookie.filter(|_| request.attachment == attachment);
                let token = token.map(|token| (token, request.path.care_of));
                entry.authority.accepted(cookie, token);
            }
            if let Some(attempt) = entry.attempt_mut() {
                attempt.heard();
            }
            entry.handle(input, context);
        });
        Ok(())
    }

    /// Whose binding is to be asked about because somebody said so without proof: not more often
    /// than a path may be probed.
    fn asked_to_refresh(
        &mut self,
        datagram: &Datagram<'_>,
        now: Instant,
    ) -> Result<HomeAgentAddress, Drop> {
        let agent = self
            .senders(datagram)
            .find(|entry| entry.stands())
            .ok_or(Drop::UnexpectedMessage)?
            .agent;
        let memory = self
            .memories
            .get_mut(&agent)
            .ok_or(Drop::UnexpectedMessage)?;
        if memory
            .asked
            .is_some_and(|at| now.saturating_duration_since(at) < self.config.probe_interval)
        {
            return Err(Drop::TooOften);
        }
        memory.asked = Some(now);
        Ok(agent)
    }
}
