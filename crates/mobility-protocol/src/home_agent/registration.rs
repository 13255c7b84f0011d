//! Answering an authenticated request.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use super::admission::Admitted;
use super::counters::Life;
use super::decision::{self, Grant};
use super::freshness::{Freshness, Time};
use super::table::{Binding, Lease, MobileNode, Slot};
use super::{Event, HomeAgent, REMEMBERED};
use crate::wire::mip4::{
    Extension, Extensions, Identification, RegistrationReply, RegistrationRequest, ReplyCode,
    RequestFlags, UdpTunnelReply, lifetime_from_wire, lifetime_to_wire,
};
use crate::{CareOfAddress, HomeAddress, Lifetime, Transmit};

/// What a reply says beside what it copies from the request.
struct Answer {
    code: ReplyCode,
    lifetime: Lifetime,
    home_address: Ipv4Addr,
    identification: Identification,
    udp_tunnel: Option<UdpTunnelReply>,
}

impl HomeAgent {
    pub(super) fn answer(&mut self, admitted: &Admitted, now: Instant) {
        let request = &admitted.request;
        let slot = self.table.find(&admitted.identity);
        let last = slot
            .and_then(|slot| self.table.get(slot))
            .map(|node| node.last_identification);
        let time = Time::new(&self.clock, self.policy.replay_window, last, now);
        let answer = self
            .decide(admitted, slot, time, now)
            .unwrap_or_else(|code| {
                self.events.push_back(Event::Refused {
                    code,
                    source: admitted.source,
                    identity: admitted.identity.clone(),
                });
                Answer {
                    code,
                    lifetime: Lifetime::Zero,
                    home_address: request.home_address,
                    identification: match code {
                        ReplyCode::IDENTIFICATION_MISMATCH => {
                            request.identification.with_high(time.told)
                        }
                        _ => request.identification,
                    },
                    udp_tunnel: None,
                }
            });
        self.counters.replied(answer.code);
        self.reply(admitted, answer);
    }

    fn decide(
        &mut self,
        admitted: &Admitted,
        slot: Option<Slot>,
        time: Time,
        now: Instant,
    ) -> Result<Answer, ReplyCode> {
        if let Some(fault) = admitted.fault {
            return Err(fault);
        }
        match time.judge(admitted.request.identification) {
            Freshness::Fresh => {}
            Freshness::Repeated => {
                return self
                    .repeat(admitted, slot, now)
                    .ok_or(ReplyCode::IDENTIFICATION_MISMATCH);
            }
            Freshness::Mismatch => return Err(ReplyCode::IDENTIFICATION_MISMATCH),
        }
        decision::check(&self.policy, &admitted.request)?;
        match admitted.request.lifetime {
            Lifetime::Zero => self.deregister(admitted, slot, now),
            Lifetime::Finite(_) | Lifetime::Infinite => self.register(admitted, slot, now),
        }
    }

    fn register(
        &mut self,
        admitted: &Admitted,
        slot: Option<Slot>,
        now: Instant,
    ) -> Result<Answer, ReplyCode> {
        let request = &admitted.request;
        let grant = decision::grant(&self.policy, &self.pool, request, admitted.source.ip())?;
        let home_address = self.home_address(admitted, slot, now)?;
        let former = slot.and_then(|slot| self.table.get(slot)?.binding().copied());
        let care_of = CareOfAddress::from(request.care_of_address);
        let lifetime = lifetime_to_wire(Lifetime::Finite(grant.lifetime));
        let binding = Binding {
            home_address,
            care_of,
            lifetime,
            expires: now + grant.lifetime,
        };
        let slot = self
            .bind(admitted, slot, Lease::Bound(binding))
            .inspect_err(|_| {
                self.pool.release(home_address.ip(), now);
            })?;
        self.store(slot);
        match former.map(|former| former.care_of) {
            None => {
                self.counters.lived(Life::Created);
                self.install(slot);
                let identity = admitted.identity.clone();
                let lifetime = grant.lifetime;
                self.events.push_back(Event::BindingCreated {
                    home_address,
                    care_of,
                    identity,
                    lifetime,
                });
            }
            Some(from) if from != care_of => {
                self.counters.lived(Life::Moved);
                self.moved(slot, from, now);
                self.install(slot);
                let identity = admitted.identity.clone();
                self.events.push_back(Event::BindingMoved {
                    home_address,
                    from,
                    to: care_of,
                    identity,
                });
            }
            Some(_) => {
                self.counters.lived(Life::Refreshed);
                let lifetime = grant.lifetime;
                self.events.push_back(Event::BindingRefreshed {
                    home_address,
                    lifetime,
                });
            }
        }
        Ok(accepted(request, home_address, lifetime, &grant))
    }

    /// The home address this request gets, taken from the pool.
    fn home_address(
        &mut self,
        admitted: &Admitted,
        slot: Option<Slot>,
        now: Instant,
    ) -> Result<HomeAddress, ReplyCode> {
        let requested = admitted.request.home_address;
        let suits = |address: HomeAddress| {
            requested.is_unspecified() || address.ip() == IpAddr::V4(requested)
        };
        let prohibited = ReplyCode::ADMINISTRATIVELY_PROHIBITED;
        let insufficient = ReplyCode::INSUFFICIENT_RESOURCES;
        let own = match slot
            .and_then(|slot| self.table.get(slot))
            .map(|node| node.lease)
        {
            Some(Lease::Bound(binding)) => {
                return suits(binding.home_address)
                    .then_some(binding.home_address)
                    .ok_or(prohibited);
            }
            Some(Lease::Released {
                home_address,
                held_until: Some(until),
                ..
            }) if until > now => Some(home_address),
            Some(Lease::Released { .. }) | None => self
                .policy
                .fixed_address(&admitted.identity)
                .map(HomeAddress),
        };
        if slot.is_none() && self.remembered() >= REMEMBERED {
            return Err(insufficient);
        }
        match own {
            Some(own) if suits(own) => {
                self.pool.claim(own.ip()).map_err(|_| insufficient)?;
                Ok(own)
            }
            None if requested.is_unspecified() => self
                .pool
                .allocate(now)
                .map(HomeAddress)
                .map_err(|_| insufficient),
            Some(_) | None => Err(prohibited),
        }
    }

    fn bind(
        &mut self,
        admitted: &Admitted,
        slot: Option<Slot>,
        lease: Lease,
    ) -> Result<Slot, ReplyCode> {
        let identification = admitted.request.identification;
        match slot {
            Some(slot) => {
                self.table.update(slot, identification, lease);
                Ok(slot)
            }
            None => {
                let (identity, association) =
                    (admitted.identity.clone(), admitted.association.clone());
                let node = MobileNode::new(identity, association, identification, lease);
                self.table
                    .insert(node)
                    .ok_or(ReplyCode::INSUFFICIENT_RESOURCES)
            }
        }
    }

    fn deregister(
        &mut self,
        admitted: &Admitted,
        slot: Option<Slot>,
        now: Instant,
    ) -> Result<Answer, ReplyCode> {
        let request = &admitted.request;
        let prohibited = ReplyCode::ADMINISTRATIVELY_PROHIBITED;
        let slot = slot.ok_or(prohibited)?;
        let lease = self.table.get(slot).ok_or(prohibited)?.lease;
        let (Lease::Bound(Binding { home_address, .. }) | Lease::Released { home_address, .. }) =
            lease;
        if !names(request, home_address) {
            return Err(prohibited);
        }
        let identification = request.identification;
        match lease {
            Lease::Bound(binding) => {
                self.table.update(slot, identification, lease);
                let everything = request.care_of_address == request.home_address;
                if everything || binding.care_of.ip() == IpAddr::V4(request.care_of_address) {
                    self.end(slot, Life::Released, now);
                } else {
                    // RFC 5944, section 3.8.2.2: only the binding with that care-of address goes,
                    // and there is none.
                    self.store(slot);
                }
            }
            Lease::Released {
                home_address,
                held_until,
                forget_at,
            } => {
                let forget_at = forget_at.max(now + self.policy.replay_memory());
                let lease = Lease::Released {
                    home_address,
                    held_until,
                    forget_at,
                };
                self.table.update(slot, identification, lease);
                self.store(slot);
            }
        }
        Ok(deregistered(request, home_address))
    }

    /// The answer to a request that was accepted and arrives again, without any effect: only what is
    /// left of the lifetime is granted.
    fn repeat(&self, admitted: &Admitted, slot: Option<Slot>, now: Instant) -> Option<Answer> {
        let request = &admitted.request;
        decision::check(&self.policy, request).ok()?;
        match (self.table.get(slot?)?.lease, request.lifetime) {
            (Lease::Bound(binding), Lifetime::Finite(_) | Lifetime::Infinite) => {
                let grant =
                    decision::grant(&self.policy, &self.pool, request, admitted.source.ip())
                        .ok()?;
                let same = names(request, binding.home_address)
                    && binding.care_of.ip() == IpAddr::V4(request.care_of_address);
                let left = binding.expires.saturating_duration_since(now);
                let lifetime = lifetime_to_wire(Lifetime::Finite(left));
                same.then(|| accepted(request, binding.home_address, lifetime, &grant))
            }
            (Lease::Released { home_address, .. }, Lifetime::Zero) => {
                names(request, home_address).then(|| deregistered(request, home_address))
            }
            _ => None,
        }
    }

    /// How many mobile nodes are remembered that have no address.
    fn remembered(&self) -> u64 {
        let taken: u64 = self
            .pool
            .usage()
            .iter()
            .map(|usage| usage.used + usage.held_down)
            .sum();
        (self.table.len() as u64).saturating_sub(taken)
    }

    fn reply(&mut self, admitted: &Admitted, answer: Answer) {
        let mut extensions = Extensions::new();
        // RFC 2794, section 2: who is named in the request is named in the reply.
        extensions.push(Extension::Nai(admitted.identity.clone()));
        if let Some(udp_tunnel) = answer.udp_tunnel {
            extensions.push(Extension::UdpTunnelReply(udp_tunnel));
        }
        let reply = RegistrationReply {
            code: answer.code,
            lifetime: answer.lifetime,
            home_address: answer.home_address,
            home_agent: self.policy.address,
            identification: answer.identification,
            extensions,
        };
        self.transmits.push_back(Transmit {
            source: self.policy.address.into(),
            interface: None,
            destination: admitted.source,
            payload: reply.encode(&admitted.association),
        });
    }
}

/// Whether a request is about this home address: by naming it, or by leaving it open.
fn names(request: &RegistrationRequest, home_address: HomeAddress) -> bool {
    request.home_address.is_unspecified() || home_address.ip() == IpAddr::V4(request.home_address)
}

fn accepted(
    request: &RegistrationRequest,
    home_address: HomeAddress,
    lifetime: u16,
    grant: &Grant,
) -> Answer {
    Answer {
        code: match request.flags.contains(RequestFlags::SIMULTANEOUS_BINDINGS) {
            true => ReplyCode::ACCEPTED_WITHOUT_SIMULTANEOUS_BINDINGS,
            false => ReplyCode::ACCEPTED,
        },
        lifetime: lifetime_from_wire(lifetime),
        home_address: ipv4(home_address),
        identification: request.identification,
        udp_tunnel: grant.udp_tunnel,
    }
}

fn deregistered(request: &RegistrationRequest, home_address: HomeAddress) -> Answer {
    Answer {
        code: ReplyCode::ACCEPTED,
        lifetime: Lifetime::Zero,
        home_address: ipv4(home_address),
        identification: request.identification,
        udp_tunnel: None,
    }
}

/// The pool has IPv4 prefixes only.
fn ipv4(home_address: HomeAddress) -> Ipv4Addr {
    match home_address.ip() {
        IpAddr::V4(address) => address,
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    }
}
