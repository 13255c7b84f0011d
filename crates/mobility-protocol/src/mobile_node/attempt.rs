//! Sending a Binding Update until it is answered: schedule, pace, and what is outstanding.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::signalling::{self, Tie};
use crate::{Family, HomeAddress, Path, Stamp, Transport};

/// The first gap between transmissions; also the least one to an unchanged care-of address
/// (RFC 5944, section 3.6.3).
const FIRST_GAP: Duration = Duration::from_secs(1);
/// The longest gap while nobody answers.
const LONGEST_GAP: Duration = Duration::from_secs(32);
/// The gap before another key is tried that was not: while one is being changed, an application may be
/// waiting, and who does not have the one that was tried says nothing.
const KEY_GAP: Duration = Duration::from_millis(200);
/// The gaps after refusals that leave the binding standing.
const FIRST_REFUSAL_GAP: Duration = Duration::from_secs(30);
const LONGEST_REFUSAL_GAP: Duration = Duration::from_secs(600);
/// How many messages to one home agent may leave within [`PACE_PERIOD`].
const PACE_MESSAGES: usize = 5;
const PACE_PERIOD: Duration = Duration::from_secs(1);
/// How many replies in a row may each trigger another message at once.
const MAX_PROMPT_RETRIES: u8 = 2;
/// How many times in a row a reply may name another home agent.
const MAX_REDIRECTS: u8 = 1;
/// How many requests are remembered while they wait for a reply.
const MAX_OUTSTANDING: usize = 8;

/// What a message asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// An address, to begin with.
    First,
    /// The binding, kept or moved.
    Update,
    /// The end of the binding.
    Release,
}

impl Purpose {
    /// How many transmissions without an answer are enough; updates go on until the binding ends.
    const fn limit(self) -> Option<u32> {
        match self {
            Self::First => Some(6),
            Self::Release => Some(4),
            Self::Update => None,
        }
    }
}

/// A message being sent until it is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attempt {
    purpose: Purpose,
    /// When the next transmission leaves or, after the last one, the attempt ends. `None` without
    /// a path.
    due: Option<Instant>,
    gap: Duration,
    refusal_gap: Duration,
    unanswered: u32,
    /// Transmissions since anything was heard, by which keys and transports take turns.
    unheard: u32,
    /// Whether the first goes in the usual transport of its protocol, under the preferred key, rather
    /// than in and under what worked last.
    usual_first: bool,
    prompt_retries: u8,
    redirects: u8,
}

impl Attempt {
    pub(super) const fn new(purpose: Purpose) -> Self {
        Self {
            purpose,
            due: None,
            gap: FIRST_GAP,
            refusal_gap: FIRST_REFUSAL_GAP,
            unanswered: 0,
            unheard: 0,
            usual_first: false,
            prompt_retries: 0,
            redirects: 0,
        }
    }

    /// The same, but trying whether the usual transport and the preferred key work by now.
    pub(super) const fn usual_first(mut self) -> Self {
        self.usual_first = true;
        self
    }

    /// What the next transmission goes in, where `preferred` worked last and each transport is tried with
    /// as many keys.
    pub(super) fn transport(
        &self,
        family: Family,
        preferred: Option<Transport>,
        keys: usize,
    ) -> Transport {
        let usual = signalling::usual_transport(family);
        let first = match preferred {
            Some(preferred) if !self.usual_first => preferred,
            Some(_) | None => usual,
        };
        match self.unheard.checked_div(count(keys)).unwrap_or_default() % 2 {
            0 => first,
            _ => signalling::other_transport(family, first),
        }
    }

    /// Which of so many keys the next transmission is authenticated with, where the one `answered` worked
    /// last. An attempt that tries what is usual first begins with the first.
    pub(super) fn turn(&self, keys: usize, answered: usize) -> usize {
        let first = if self.usual_first { 0 } else { answered };
        let turn = self.unheard.checked_rem(count(keys)).unwrap_or_default();
        (first + turn as usize)
            .checked_rem(keys)
            .unwrap_or_default()
    }

    /// Whether there are keys that no message of this attempt was authenticated with.
    pub(super) fn has_untried(&self, keys: usize) -> bool {
        keys > 1 && self.unheard < count(keys)
    }

    pub(super) const fn purpose(&self) -> Purpose {
        self.purpose
    }

    pub(super) const fn due(&self) -> Option<Instant> {
        self.due
    }

    pub(super) const fn unanswered(&self) -> u32 {
        self.unanswered
    }

    /// Begin the schedule (again): the first transmission leaves at `due`.
    pub(super) const fn start(&mut self, due: Instant) {
        self.due = Some(due);
        self.gap = FIRST_GAP;
        self.unanswered = 0;
        self.unheard = 0;
    }

    /// There is no path: nothing leaves until [`Attempt::start`].
    pub(super) const fn pause(&mut self) {
        self.due = None;
    }

    /// Whether everything was sent that may be sent without an answer.
    pub(super) fn is_exhausted(&self) -> bool {
        self.purpose
            .limit()
            .is_some_and(|limit| self.unanswered >= limit)
    }

    /// A transmission leaves now, under one of so many keys.
    pub(super) fn sent(&mut self, keys: usize, now: Instant) {
        self.unanswered = self.unanswered.saturating_add(1);
        self.unheard = self.unheard.saturating_add(1);
        if self.has_untried(keys) {
            self.due = Some(now + KEY_GAP);
            return;
        }
        self.due = Some(now + self.gap);
        self.gap = (self.gap * 2).min(LONGEST_GAP);
    }

    /// A reply asks for another try: at once, unless that has not helped twice; then the schedule
    /// goes on as if there had been no reply.
    pub(super) fn try_again(&mut self, at: Instant) {
        if self.prompt_retries < MAX_PROMPT_RETRIES {
            self.prompt_retries += 1;
            self.due = Some(at);
        }
    }

    /// Something was heard: what worked goes on working.
    pub(super) const fn heard(&mut self) {
        self.unheard = 0;
        self.usual_first = false;
    }

    /// The next transmission leaves at `at`, in whatever part of the schedule this is.
    pub(super) const fn hurry(&mut self, at: Instant) {
        self.due = Some(at);
    }

    /// A reply names another home agent. False when that has happened too often.
    pub(super) const fn redirect(&mut self) -> bool {
        if self.redirects >= MAX_REDIRECTS {
            return false;
        }
        self.redirects += 1;
        true
    }

    /// A reply refuses: ask again much later.
    pub(super) fn back_off(&mut self, now: Instant) {
        self.due = Some(now + self.refusal_gap);
        self.gap = LONGEST_GAP;
        self.refusal_gap = (self.refusal_gap * 2).min(LONGEST_REFUSAL_GAP);
    }
}

fn count(keys: usize) -> u32 {
    u32::try_from(keys).unwrap_or(u32::MAX)
}

/// The messages that left for one home agent within the last second.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pace {
    recent: VecDeque<Instant>,
}

impl Pace {
    /// The earliest time the next message may leave.
    pub(super) fn earliest(&self, now: Instant) -> Instant {
        match self.recent.front() {
            Some(oldest) if self.recent.len() >= PACE_MESSAGES => now.max(*oldest + PACE_PERIOD),
            Some(_) | None => now,
        }
    }

    pub(super) fn sent(&mut self, now: Instant) {
        if self.recent.len() >= PACE_MESSAGES {
            self.recent.pop_front();
        }
        self.recent.push_back(now);
    }
}

/// A message that may still be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) purpose: Purpose,
    pub(super) stamp: Stamp,
    /// What it went in.
    pub(super) transport: Transport,
    /// Which association it was authenticated with.
    pub(super) spi: u32,
    pub(super) home_address: Option<HomeAddress>,
    pub(super) path: Path,
    /// Which attachment it left from, counted: one care-of address may come and go and come again.
    pub(super) attachment: u64,
    /// Granted lifetimes count from here (RFC 5944, section 3.6.2).
    pub(super) sent: Instant,
}

impl Request {
    /// Whether it asks for the same as the other one, from the same place and by the same key.
    pub(super) fn asks_like(&self, other: &Self) -> bool {
        Self {
            stamp: other.stamp,
            sent: other.sent,
            ..*self
        } == *other
    }
}

/// The latest messages to one home agent that are not answered, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Outstanding {
    requests: VecDeque<Request>,
}

impl Outstanding {
    pub(super) fn push(&mut self, request: Request) {
        if self.requests.len() >= MAX_OUTSTANDING {
            self.requests.pop_front();
        }
        self.requests.push_back(request);
    }

    /// The request an acknowledgement with this tie belongs to, and whether it is the latest.
    pub(super) fn find(&self, tie: Tie) -> Option<(Request, bool)> {
        let belongs = |Stamp {
                           timestamp,
                           sequence,
                       }: Stamp| match tie {
            Tie::Low(low) => timestamp.is_some_and(|timestamp| timestamp.low() == low),
            Tie::Sequence(number) => sequence == Some(number),
            Tie::Latest => true,
        };
        let (index, request) = self
            .requests
            .iter()
            .enumerate()
            .rev()
            .find(|(_, request)| belongs(request.stamp))?;
        Some((*request, index + 1 == self.requests.len()))
    }

    pub(super) fn remove(&mut self, stamp: Stamp) {
        self.requests.retain(|request| request.stamp != stamp);
    }

    pub(super) fn latest(&self) -> Option<&Request> {
        self.requests.back()
    }

    pub(super) fn clear(&mut self) {
        self.requests.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn first_requests_are_sent_six_times_in_a_minute() {
        let begin = Instant::now();
        let mut attempt = Attempt::new(Purpose::First);
        attempt.start(begin);
        let mut times = Vec::new();
        while let Some(due) = attempt.due().filter(|_| !attempt.is_exhausted()) {
            times.push((due - begin).as_secs());
            attempt.sent(1, due);
        }
        assert_eq!(times, [0, 1, 3, 7, 15, 31]);
        assert_eq!(attempt.due(), Some(begin + 63 * SECOND));
    }

    #[test]
    fn five_messages_a_second_and_no_more() {
        let begin = Instant::now();
        let mut pace = Pace::default();
        for index in 0..5u32 {
            let at = begin + index * SECOND / 10;
            assert_eq!(pace.earliest(at), at);
            pace.sent(at);
        }
        assert_eq!(pace.earliest(begin + SECOND / 2), begin + SECOND);
        assert_eq!(pace.earliest(begin + 2 * SECOND), begin + 2 * SECOND);
    }

    #[test]
    fn two_prompt_retries_then_the_schedule() {
        let now = Instant::now();
        let mut attempt = Attempt::new(Purpose::Update);
        attempt.start(now);
        attempt.sent(1, now);
        attempt.try_again(now);
        assert_eq!(attempt.due(), Some(now));
        attempt.sent(1, now);
        attempt.try_again(now);
        attempt.sent(1, now);
        let scheduled = attempt.due();
        attempt.try_again(now);
        assert_eq!(attempt.due(), scheduled);
        assert!(scheduled > Some(now));
    }
}
