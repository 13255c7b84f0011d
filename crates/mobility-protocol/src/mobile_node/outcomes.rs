//! What the transitions of a binding entail.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::attempt::{Attempt, Purpose, Request};
use super::context::Context;
use super::entry::{Avoided, Entry, Established, State};
use super::event::{Event, FailureReason, LossReason};
use super::status::Drop;
use super::transitions::Grant;
use super::usage::UseTracker;
use crate::Lifetime;

/// The part of a lifetime after which it is refreshed.
const REFRESH_PERCENT: u32 = 80;
/// How long a path that did not answer is avoided while another one works; doubles.
const AVOID_FOR: Duration = Duration::from_secs(30);
const AVOID_LONGEST: Duration = Duration::from_secs(600);

impl Entry {
    /// Ask for a home address, now or when there is a path.
    pub(super) fn begin(&mut self, context: &Context<'_>) -> State {
        if self.path.is_some() {
            return State::Registering {
                attempt: self.attempt_now(Purpose::First, context),
                held: None,
            };
        }
        let until = (!self.usage.has_sockets()).then_some(context.now + context.config.unused);
        State::WaitingForPath { until }
    }

    /// The same, where somebody may be waiting for the answer.
    pub(super) fn begin_wanted(&mut self, context: &mut Context<'_>) -> State {
        let state = self.begin(context);
        if state == (State::WaitingForPath { until: None }) {
            self.report_no_path(context);
        }
        state
    }

    /// The path may take forever to come back; who asks for a binding meanwhile connects without.
    pub(super) fn report_no_path(&self, context: &mut Context<'_>) {
        context.out.event(Event::Failed {
            agent: self.agent,
            reason: FailureReason::NoPath,
        });
    }

    pub(super) fn registering_moved(
        &mut self,
        mut attempt: Attempt,
        mut held: Option<Established>,
        returned: bool,
        context: &mut Context<'_>,
    ) -> State {
        if self.path.is_none() {
            if held.is_none() {
                return self.begin_wanted(context);
            }
            attempt.pause();
            self.report_no_path(context);
        } else if returned || self.is_news() {
            attempt.start(context.memory.pace.earliest(context.now));
        }
        if let Some(binding) = &mut held {
            self.follow(binding, context);
        }
        State::Registering { attempt, held }
    }

    pub(super) fn active_moved(
        &mut self,
        mut binding: Established,
        returned: bool,
        context: &mut Context<'_>,
    ) -> State {
        self.follow(&mut binding, context);
        match self.path {
            Some(_) if binding.attachment != self.attachment => State::Moving {
                binding,
                attempt: self.attempt_now(Purpose::Update, context),
            },
            // Much may have happened to the binding while nothing could be heard.
            Some(_) if returned => State::Refreshing {
                binding,
                attempt: self.attempt_now(Purpose::Update, context),
            },
            Some(_) | None => State::Active { binding },
        }
    }

    pub(super) fn refreshing_moved(
        &mut self,
        mut binding: Established,
        mut attempt: Attempt,
        returned: bool,
        context: &mut Context<'_>,
    ) -> State {
        self.follow(&mut binding, context);
        match self.path {
            Some(_) if binding.attachment != self.attachment => State::Moving {
                binding,
                attempt: self.attempt_now(Purpose::Update, context),
            },
            Some(_) => {
                if returned {
                    attempt.start(context.memory.pace.earliest(context.now));
                }
                State::Refreshing { binding, attempt }
            }
            None => {
                attempt.pause();
                State::Refreshing { binding, attempt }
            }
        }
    }

    pub(super) fn moving_moved(
        &mut self,
        mut binding: Established,
        mut attempt: Attempt,
        returned: bool,
        context: &mut Context<'_>,
    ) -> State {
        self.follow(&mut binding, context);
        if self.path.is_none() {
            attempt.pause();
        } else if returned || self.is_news() {
            attempt.start(context.memory.pace.earliest(context.now));
        }
        State::Moving { binding, attempt }
    }

    /// A first request was granted.
    pub(super) fn established(
        &mut self,
        request: Request,
        grant: Grant,
        held: Option<Established>,
        context: &mut Context<'_>,
    ) -> State {
        let mut binding = uncarried(&request, &grant, context.now);
        if let Err(reason) = self.check_home_address(&grant, context) {
            context.out.counters.home_addresses_refused += 1;
            if let Some(held) = held {
                self.take_down(&held, LossReason::Replaced, context);
            }
            self.report_failure(reason, context);
            self.hold_off(reason, context);
            return self.release(binding, context);
        }
        match held {
            Some(held) if held.home_address != binding.home_address => {
                self.take_down(&held, LossReason::Replaced, context);
            }
            Some(_) | None => {}
        }
        if let Some(path) = self.path {
            binding.installed = path;
        }
        self.install(&mut binding, context);
        self.former_home_address = None;
        if !self.usage.has_sockets() {
            self.usage = UseTracker::new(context.config, context.now);
        }
        context.memory.succeed();
        context.out.counters.registrations += 1;
        context.out.event(Event::Active {
            agent: self.agent,
            home_address: binding.home_address,
        });
        self.outstanding.clear();
        match self.path {
            Some(_) if binding.attachment != self.attachment => State::Moving {
                binding,
                attempt: self.attempt_now(Purpose::Update, context),
            },
            Some(_) | None => self.settled(binding, &grant, context),
        }
    }

    /// The home agent knows where we are; it may want to see that we are there.
    pub(super) fn settled(
        &self,
        binding: Established,
        grant: &Grant,
        context: &Context<'_>,
    ) -> State {
        match grant.proven {
            true => State::Active { binding },
            false => State::Refreshing {
                binding,
                attempt: self.attempt_now(Purpose::Update, context),
            },
        }
    }

    /// A refresh or a move was granted. False if that says nothing about the present care-of
    /// address.
    pub(super) fn confirmed(
        &mut self,
        binding: &mut Established,
        request: &Request,
        grant: &Grant,
        context: &mut Context<'_>,
    ) -> bool {
        if grant.home_address != binding.home_address {
            context.out.counters.drop(Drop::HomeAddressMismatch);
            return false;
        }
        if request.attachment != self.attachment {
            context.out.counters.drop(Drop::StaleReply);
            return false;
        }
        let moved = binding.confirmed != request.path.care_of;
        let (expires, refresh) = deadlines(request, grant.lifetime);
        binding.confirmed = request.path.care_of;
        binding.attachment = request.attachment;
        binding.expires = expires;
        binding.refresh = refresh;
        let switch = self.path.filter(|path| *path != binding.installed);
        if switch.is_some() || binding.tunnel_end != grant.tunnel_end {
            binding.installed = switch.unwrap_or(binding.installed);
            binding.tunnel_end = grant.tunnel_end;
            self.install(binding, context);
        }
        if self
            .avoided
            .is_some_and(|avoided| avoided.path == binding.installed)
        {
            self.avoided = None;
        }
        self.outstanding.clear();
        self.traffic.reset();
        context.memory.succeed();
        context.out.snapshot_changed();
        if moved {
            binding.handovers += 1;
            context.out.counters.handovers += 1;
            context.out.event(Event::Moved {
                agent: self.agent,
                home_address: binding.home_address,
                care_of: binding.confirmed,
            });
        } else {
            context.out.counters.refreshes += 1;
        }
        true
    }

    /// The home agent names another one for a binding that stands.
    pub(super) fn redirected(
        &mut self,
        mut attempt: Attempt,
        to: IpAddr,
        context: &Context<'_>,
    ) -> Attempt {
        if attempt.redirect() {
            self.signalling = to;
            return self.prompted(attempt, context);
        }
        attempt.back_off(context.now);
        attempt
    }

    /// The new path gets no answer, and the old one works: tell the home agent to stay there, for
    /// it may have heard of the new one although we heard nothing of it.
    pub(super) fn fall_back(&mut self, binding: Established, context: &Context<'_>) -> State {
        if let Some(path) = self.path {
            let gap = match self.avoided {
                Some(avoided) if avoided.path == path => (avoided.gap * 2).min(AVOID_LONGEST),
                Some(_) | None => AVOID_FOR,
            };
            self.avoided = Some(Avoided {
                path,
                until: context.now + gap,
                gap,
            });
        }
        self.take_path(Some(binding.installed));
        State::Moving {
            binding,
            attempt: self.attempt_now(Purpose::Update, context),
        }
    }

    /// The binding is gone without our doing; ask for another one.
    pub(super) fn lost(
        &mut self,
        binding: Established,
        reason: LossReason,
        context: &mut Context<'_>,
    ) -> State {
        self.take_down(&binding, reason, context);
        self.former_home_address = Some(binding.home_address);
        self.outstanding.clear();
        self.avoided = None;
        self.take_path(self.preferred);
        self.signalling = self.agent.ip();
        self.begin(context)
    }

    pub(super) fn take_down(
        &self,
        binding: &Established,
        reason: LossReason,
        context: &mut Context<'_>,
    ) {
        self.remove(binding, context);
        context.out.counters.losses += 1;
        context.out.event(Event::Lost {
            agent: self.agent,
            home_address: binding.home_address,
            reason,
        });
    }

    /// Whether the host can take the address. One that names the other end or somebody behind it
    /// would cut us off from them.
    pub(super) fn check_home_address(
        &self,
        grant: &Grant,
        context: &Context<'_>,
    ) -> Result<(), FailureReason> {
        let address = grant.home_address.ip();
        let elsewhere = [self.agent.ip(), self.signalling, grant.tunnel_end].contains(&address)
            || self
                .correspondents()
                .any(|correspondent| correspondent == address);
        let here = self
            .care_of()
            .is_some_and(|care_of| care_of.ip() == address);
        match (elsewhere, here) {
            (true, _) => Err(FailureReason::UnusableHomeAddress(grant.home_address)),
            (_, true) => Err(FailureReason::LocalHomeAddress(grant.home_address)),
            (false, false) => context.check_home_address(grant.home_address, self.agent),
        }
    }

    /// Why nobody has answered whom we would have listened to.
    pub(super) fn silence(&self) -> FailureReason {
        match self.authority.met_others_only() {
            true => FailureReason::OtherKey,
            false => FailureReason::Silent,
        }
    }

    /// There will be no binding.
    pub(super) fn failed(
        &mut self,
        held: Option<Established>,
        reason: FailureReason,
        context: &mut Context<'_>,
    ) -> State {
        if let Some(held) = held {
            self.remove(&held, context);
            context.out.event(Event::Released {
                agent: self.agent,
                home_address: held.home_address,
            });
        }
        // Somebody may have a binding there under another key of the same index.
        if reason == FailureReason::Silent && context.memory.acquaintance.take().is_some() {
            context.out.snapshot_changed();
        }
        self.hold_off(reason, context);
        self.report_failure(reason, context);
        State::Ended
    }

    fn hold_off(&self, reason: FailureReason, context: &mut Context<'_>) {
        let terms = self.authority.terms();
        context
            .memory
            .fail(self.agent, reason, terms, context.config, context.now);
    }

    pub(super) fn report_failure(&self, reason: FailureReason, context: &mut Context<'_>) {
        context.out.counters.failures += 1;
        context.out.event(Event::Failed {
            agent: self.agent,
            reason,
        });
    }

    /// Give the binding back.
    pub(super) fn release(&mut self, binding: Established, context: &Context<'_>) -> State {
        State::Releasing {
            binding,
            attempt: self.attempt_now(Purpose::Release, context),
        }
    }

    /// It is given back, or nobody will ever say so.
    pub(super) fn finish(&mut self, binding: Established, context: &mut Context<'_>) -> State {
        if binding.carried {
            self.remove(&binding, context);
            context.out.counters.releases += 1;
            context.out.event(Event::Released {
                agent: self.agent,
                home_address: binding.home_address,
            });
        }
        self.outstanding.clear();
        State::Ended
    }
}

pub(super) fn uncarried(request: &Request, grant: &Grant, now: Instant) -> Established {
    let (expires, refresh) = deadlines(request, grant.lifetime);
    Established {
        home_address: grant.home_address,
        tunnel_end: grant.tunnel_end,
        installed: request.path,
        confirmed: request.path.care_of,
        attachment: request.attachment,
        expires,
        refresh,
        since: now,
        handovers: 0,
        carried: false,
    }
}

/// When a lifetime granted to this request ends, and when it is refreshed: counted from when the
/// request left (RFC 5944, section 3.6.2).
fn deadlines(request: &Request, lifetime: Lifetime) -> (Option<Instant>, Option<Instant>) {
    match lifetime {
        Lifetime::Finite(lifetime) => (
            request.sent.checked_add(lifetime),
            request.sent.checked_add(lifetime / 100 * REFRESH_PERCENT),
        ),
        Lifetime::Zero => (Some(request.sent), Some(request.sent)),
        Lifetime::Infinite => (None, None),
    }
}
