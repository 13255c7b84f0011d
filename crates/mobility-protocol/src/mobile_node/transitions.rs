//! The state machine of one binding: a single match of state and input.

use std::net::IpAddr;
use std::time::Duration;

use super::attempt::{Purpose, Request};
use super::context::Context;
use super::entry::{Entry, State};
use super::event::{Event, FailureReason, LossReason};
use super::outcomes::uncarried;
use super::status::Drop;
use crate::{HomeAddress, Lifetime, Refusal};

/// How long the answer to a first request that is no longer wanted is waited for, to give the
/// address back.
const ABANDON_AFTER: Duration = Duration::from_secs(4);
/// Transmissions without an answer after which an application is not made to wait for the rest.
const SEEMS_SILENT: u32 = 3;
/// Transmissions from a new path without an answer after which the working old one is kept.
const NEW_PATH_TRIES: u32 = 3;

/// What can happen to a binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    /// A name that leads here was looked up.
    Wanted,
    /// Nobody uses it, or the operator wants it gone.
    Unwanted,
    /// The paths have changed; `returned` when there was none before.
    Path { returned: bool },
    /// The home agent granted a request.
    Accepted(Request, Grant),
    /// The home agent refused a request.
    Refused(Request, Refusal),
    /// The home agent holds no such binding, or won't have it at this care-of address.
    Disowned(Request, Refusal),
    /// The home agent asks for another try.
    TryAgain(Request),
    /// The home agent names another one, to which the request is to go.
    Redirected(Request, IpAddr),
    /// A transmission is due.
    Due,
    /// The greater part of the lifetime has passed.
    Refresh,
    /// The lifetime has ended.
    Expired,
    /// Whether the home agent still holds the binding is in doubt.
    Doubt,
    /// Waiting has lasted long enough.
    WaitOver,
    /// What there is or was asked for, was so with other credentials.
    Distrusted,
}

/// What the home agent granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) home_address: HomeAddress,
    pub(super) tunnel_end: IpAddr,
    pub(super) lifetime: Lifetime,
    /// Whether the home agent takes it for shown that we are where we say.
    pub(super) proven: bool,
}

impl Entry {
    pub(super) fn step(&mut self, input: Input, context: &mut Context<'_>) {
        let state = std::mem::replace(&mut self.state, State::Ended);
        self.state = match (state, input) {
            (
                State::Active { binding }
                | State::Refreshing { binding, .. }
                | State::Moving { binding, .. }
                | State::Releasing { binding, .. }
                | State::Registering {
                    held: Some(binding),
                    ..
                },
                Input::Distrusted,
            ) => self.lost(binding, LossReason::Distrusted, context),
            (
                State::Registering { held: None, .. } | State::Abandoning { .. },
                Input::Distrusted,
            ) => {
                self.outstanding.clear();
                self.begin(context)
            }

            (State::WaitingForPath { .. }, Input::Path { .. }) if self.path.is_some() => {
                self.begin(context)
            }
            (State::WaitingForPath { until: Some(_) }, Input::Wanted) => State::WaitingForPath {
                until: Some(context.now + context.config.unused),
            },
            (State::WaitingForPath { until: None }, Input::Wanted) => {
                self.report_no_path(context);
                State::WaitingForPath { until: None }
            }
            (State::WaitingForPath { .. }, Input::Unwanted) => {
                self.report_failure(FailureReason::Released, context);
                State::Ended
            }
            (State::WaitingForPath { .. }, Input::WaitOver) => {
                self.report_failure(FailureReason::NoPath, context);
                State::Ended
            }

            (State::Registering { attempt, held }, Input::Wanted) => {
                if attempt.unanswered() >= SEEMS_SILENT {
                    context.out.event(Event::Failed {
                        agent: self.agent,
                        reason: self.silence(),
                    });
                } else if self.path.is_none() {
                    self.report_no_path(context);
                }
                State::Registering { attempt, held }
            }
            (
                State::Registering {
                    held: Some(binding),
                    ..
                },
                Input::Unwanted,
            ) => {
                self.report_failure(FailureReason::Released, context);
                self.release(binding, context)
            }
            (State::Registering { held: None, .. }, Input::Unwanted) => {
                self.report_failure(FailureReason::Released, context);
                match self.outstanding.latest() {
                    Some(_) => State::Abandoning {
                        until: context.now + ABANDON_AFTER,
                    },
                    None => State::Ended,
                }
            }
            (State::Registering { attempt, held }, Input::Path { returned }) => {
                self.registering_moved(attempt, held, returned, context)
            }
            (
                State::Registering { held, .. },
                Input::Accepted(
                    request @ Request {
                        purpose: Purpose::First,
                        ..
                    },
                    grant,
                ),
            ) => self.established(request, grant, held, context),
            (
                State::WaitingForPath { .. },
                Input::Accepted(
                    request @ Request {
                        purpose: Purpose::First,
                        ..
                    },
                    grant,
                ),
            ) => self.established(request, grant, None, context),
            (
                State::Registering { held, .. },
                Input::Refused(
                    request @ Request {
                        purpose: Purpose::First,
                        ..
                    },
                    refusal,
                )
                | Input::Disowned(
                    request @ Request {
                        purpose: Purpose::First,
                        ..
                    },
                    refusal,
                ),
            ) if self.concerns_present(&request, Purpose::First) => {
                self.failed(held, FailureReason::Refused(refusal), context)
            }
            (State::Registering { attempt, held }, Input::TryAgain(_)) => State::Registering {
                attempt: self.prompted(attempt, context),
                held,
            },
            (State::Registering { mut attempt, held }, Input::Redirected(_, to)) => {
                if attempt.redirect() {
                    self.signalling = to;
                    self.authority.start_over();
                    State::Registering {
                        attempt: self.prompted(attempt, context),
                        held,
                    }
                } else {
                    self.failed(held, FailureReason::Silent, context)
                }
            }
            (State::Registering { attempt, held }, Input::Due)
                if attempt.is_exhausted()
                    || (self.authority.met_others_only()
                        && attempt.unanswered() >= SEEMS_SILENT) =>
            {
                self.failed(held, self.silence(), context)
            }
            (State::Registering { attempt, held }, Input::Due) => State::Registering {
                attempt: self.transmit(attempt, None, context),
                held,
            },
            (
                State::Registering {
                    attempt,
                    held: Some(binding),
                },
                Input::Expired,
            ) => {
                self.take_down(&binding, LossReason::Expired, context);
                if self.path.is_some() {
                    State::Registering {
                        attempt,
                        held: None,
                    }
                } else {
                    self.begin_wanted(context)
                }
            }

            (
                state @ (State::Active { .. } | State::Refreshing { .. } | State::Moving { .. }),
                Input::Wanted,
            ) => {
                if let State::Active { binding }
                | State::Refreshing { binding, .. }
                | State::Moving { binding, .. } = &state
                {
                    context.out.event(Event::Active {
                        agent: self.agent,
                        home_address: binding.home_address,
                    });
                }
                state
            }
            (
                State::Active { binding }
                | State::Refreshing { binding, .. }
                | State::Moving { binding, .. },
                Input::Unwanted,
            ) => self.release(binding, context),
            (
                State::Active { binding }
                | State::Refreshing { binding, .. }
                | State::Moving { binding, .. },
                Input::Expired,
            ) => self.lost(binding, LossReason::Expired, context),

            (State::Active { binding }, Input::Path { returned }) => {
                self.active_moved(binding, returned, context)
            }
            (State::Active { binding }, Input::Refresh) => {
                let attempt = self.attempt_now(Purpose::Update, context).usual_first();
                State::Refreshing { binding, attempt }
            }
            (State::Active { binding }, Input::Doubt) => {
                let attempt = self.attempt_now(Purpose::Update, context);
                State::Refreshing { binding, attempt }
            }

            (State::Refreshing { binding, attempt }, Input::Path { returned }) => {
                self.refreshing_moved(binding, attempt, returned, context)
            }
            (State::Moving { binding, attempt }, Input::Path { returned }) => {
                self.moving_moved(binding, attempt, returned, context)
            }
            (
                State::Refreshing {
                    mut binding,
                    attempt,
                },
                Input::Accepted(
                    request @ Request {
                        purpose: Purpose::First | Purpose::Update,
                        ..
                    },
                    grant,
                ),
            ) => {
                let confirmed = self.confirmed(&mut binding, &request, &grant, context);
                match (confirmed, grant.proven) {
                    (true, true) => State::Active { binding },
                    (true, false) => State::Refreshing {
                        binding,
                        attempt: self.prompted(attempt, context),
                    },
                    (false, _) => State::Refreshing { binding, attempt },
                }
            }
            (
                State::Moving {
                    mut binding,
                    attempt,
                },
                Input::Accepted(
                    request @ Request {
                        purpose: Purpose::First | Purpose::Update,
                        ..
                    },
                    grant,
                ),
            ) => {
                if self.confirmed(&mut binding, &request, &grant, context) {
                    self.settled(binding, &grant, context)
                } else {
                    State::Moving { binding, attempt }
                }
            }
            (
                State::Moving { binding, .. },
                Input::Disowned(request, _) | Input::Refused(request, _),
            ) if self.concerns_present(&request, Purpose::Update)
                && self.has_working_other(&binding) =>
            {
                self.fall_back(binding, context)
            }
            (
                State::Refreshing { binding, .. } | State::Moving { binding, .. },
                Input::Disowned(request, _),
            ) if self.concerns_present(&request, Purpose::Update) => {
                self.lost(binding, LossReason::Unknown, context)
            }
            (
                State::Refreshing {
                    binding,
                    mut attempt,
                },
                Input::Refused(request, _),
            ) if self.concerns_present(&request, Purpose::Update) => {
                attempt.back_off(context.now);
                State::Refreshing { binding, attempt }
            }
            (
                State::Moving {
                    binding,
                    mut attempt,
                },
                Input::Refused(request, _),
            ) if self.concerns_present(&request, Purpose::Update) => {
                attempt.back_off(context.now);
                State::Moving { binding, attempt }
            }
            (State::Refreshing { binding, attempt }, Input::TryAgain(_)) => State::Refreshing {
                binding,
                attempt: self.prompted(attempt, context),
            },
            (State::Moving { binding, attempt }, Input::TryAgain(_)) => State::Moving {
                binding,
                attempt: self.prompted(attempt, context),
            },
            (State::Refreshing { binding, attempt }, Input::Redirected(_, to)) => {
                State::Refreshing {
                    binding,
                    attempt: self.redirected(attempt, to, context),
                }
            }
            (State::Moving { binding, attempt }, Input::Redirected(_, to)) => State::Moving {
                binding,
                attempt: self.redirected(attempt, to, context),
            },
            (State::Refreshing { binding, attempt }, Input::Due) => {
                let home_address = Some(binding.home_address);
                State::Refreshing {
                    binding,
                    attempt: self.transmit(attempt, home_address, context),
                }
            }
            (State::Moving { binding, attempt }, Input::Due)
                if attempt.unanswered() >= NEW_PATH_TRIES && self.has_working_other(&binding) =>
            {
                self.fall_back(binding, context)
            }
            (State::Moving { binding, attempt }, Input::Due) => {
                let home_address = Some(binding.home_address);
                State::Moving {
                    binding,
                    attempt: self.transmit(attempt, home_address, context),
                }
            }

            (State::Releasing { binding, .. }, Input::Wanted) => {
                let attempt = self.attempt_now(Purpose::First, context);
                let held = Some(binding).filter(|binding| binding.carried);
                if held.is_none() && self.path.is_none() {
                    self.begin_wanted(context)
                } else {
                    if self.path.is_none() {
                        self.report_no_path(context);
                    }
                    State::Registering { attempt, held }
                }
            }
            (
                State::Releasing { binding, .. },
                Input::Accepted(
                    Request {
                        purpose: Purpose::Release,
                        ..
                    },
                    _,
                )
                | Input::Refused(
                    Request {
                        purpose: Purpose::Release,
                        ..
                    },
                    _,
                )
                | Input::Disowned(
                    Request {
                        purpose: Purpose::Release,
                        ..
                    },
                    _,
                )
                | Input::Redirected(
                    Request {
                        purpose: Purpose::Release,
                        ..
                    },
                    _,
                )
                | Input::Expired,
            ) => self.finish(binding, context),
            (State::Releasing { binding, attempt }, Input::TryAgain(_)) => State::Releasing {
                binding,
                attempt: self.prompted(attempt, context),
            },
            (
                State::Releasing {
                    binding,
                    mut attempt,
                },
                Input::Path { returned },
            ) => {
                if self.path.is_some() && (returned || self.is_news()) {
                    attempt.hurry(context.memory.pace.earliest(context.now));
                }
                State::Releasing { binding, attempt }
            }
            (State::Releasing { binding, attempt }, Input::Due) => {
                if attempt.is_exhausted() {
                    self.finish(binding, context)
                } else {
                    self.transmit_release(binding, attempt, context)
                }
            }

            (State::Abandoning { .. }, Input::Wanted) => self.begin_wanted(context),
            (
                State::Abandoning { .. },
                Input::Accepted(
                    request @ Request {
                        purpose: Purpose::First,
                        ..
                    },
                    grant,
                ),
            ) => {
                let binding = uncarried(&request, &grant, context.now);
                self.release(binding, context)
            }
            (
                State::Abandoning { .. },
                Input::WaitOver | Input::Refused(..) | Input::Disowned(..),
            ) => State::Ended,

            (
                state,
                Input::Accepted(..)
                | Input::Refused(..)
                | Input::Disowned(..)
                | Input::TryAgain(_)
                | Input::Redirected(..),
            ) => {
                context.out.counters.drop(Drop::StaleReply);
                state
            }
            (
                state,
                Input::Wanted
                | Input::Unwanted
                | Input::Path { .. }
                | Input::Due
                | Input::Refresh
                | Input::Expired
                | Input::Doubt
                | Input::WaitOver
                | Input::Distrusted,
            ) => state,
        };
    }
}
