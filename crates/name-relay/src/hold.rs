//! Holding an answer until the binding stands.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

use crate::counters::{Counter, Counters};
use crate::key::AgentKey;
use crate::ledger::Ledger;
use crate::prober::{Probe, Prober, Progress, Verdict};
use crate::tasks::Tasks;

/// The most answers whose agent is awaited after they have left.
const MAX_LATE: usize = 64;
/// How long the mobile node may take to withdraw what an answer contradicts.
const CONFIRMATION: Duration = Duration::from_secs(2);

/// An agent that was found: the mobile node binds, then lets the answer go.
#[derive(Debug)]
pub struct Discovery {
    /// The name that the application asked for, in lower case, without
    /// trailing dot.
    pub name: String,
    /// The addresses that the answer gives for it, all of one family.
    pub correspondents: Vec<IpAddr>,
    /// The addresses of `cha.<name>`, of the same family.
    pub agents: Vec<IpAddr>,
    /// The key that `cha.<name>` publishes, if it does and that is known yet.
    pub key: Option<AgentKey>,
    /// The answer leaves when this is fired or dropped, or when the hold has
    /// passed. Nobody listens where the agent was found only after the answer
    /// had left: a binding then serves later sockets.
    pub ready: oneshot::Sender<()>,
}

/// An answer that gives addresses which are reached through an agent that its
/// name does not have: whoever named that agent has no right to what is meant
/// for them.
#[derive(Debug)]
pub struct Contradiction {
    /// The addresses, each with the agent that it is reached through. No new
    /// socket may be led there.
    pub captured: Vec<(IpAddr, IpAddr)>,
    /// Fired when that is so: the answer waits for it, and is withheld when
    /// this is dropped.
    pub withdrawn: oneshot::Sender<()>,
}

/// What the relay tells the mobile node.
#[derive(Debug)]
pub enum Report {
    /// An agent was found.
    Discovery(Discovery),
    /// Agents that were found before have to be done without.
    Contradiction(Contradiction),
}

/// Whether an answer may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Release {
    Leaves,
    /// It would lead to an address that somebody else has captured.
    Withheld,
}

/// Decides when an answer with addresses may leave.
#[derive(Clone)]
pub(crate) struct Holder {
    hold: Duration,
    lookup_window: Duration,
    reports: mpsc::Sender<Report>,
    ledger: Arc<Ledger>,
    prober: Arc<Prober>,
    late: Arc<Semaphore>,
    tasks: Tasks,
    counters: Arc<Counters>,
}

impl Holder {
    pub(crate) fn new(
        hold: Duration,
        lookup_window: Duration,
        reports: mpsc::Sender<Report>,
        ledger: Arc<Ledger>,
        prober: Arc<Prober>,
        tasks: Tasks,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            hold,
            lookup_window,
            reports,
            ledger,
            prober,
            late: Arc::new(Semaphore::new(MAX_LATE)),
            tasks,
            counters,
        }
    }

    /// Returns when the answer for `name` may leave: at once without an agent,
    /// else when the binding stands or the hold has passed. Without a probe
    /// nobody has asked whether there is one.
    pub(crate) async fn hold(
        &self,
        name: String,
        correspondents: Vec<IpAddr>,
        probe: Option<Probe>,
    ) -> Release {
        let now = Instant::now();
        let deadline = now + self.hold;
        let mut late = None;
        let verdict = match probe {
            None => Verdict::Failed,
            Some(Probe::Known(verdict)) => verdict,
            Some(Probe::Running(mut progress)) => {
                // Whether the answer contradicts what stands is worth the wait.
                let window = match self.ledger.has_captured(&correspondents) {
                    true => self.hold,
                    false => self.hold.min(self.lookup_window),
                };
                tokio::select! {
                    verdict = verdict_in_time(&mut progress, now + window, deadline) => {
                        verdict.unwrap_or_else(|| {
                            late = Some(progress);
                            Verdict::Failed
                        })
                    }
                    () = self.tasks.stopped() => return Release::Leaves,
                }
            }
        };
        if self.compare(&name, &correspondents, &verdict).await == Release::Withheld {
            return Release::Withheld;
        }
        if let Some(progress) = late {
            self.follow(name, correspondents, progress);
        } else if let Verdict::Agents(agents) = verdict {
            let correspondents = self.prober.reachable(&name, correspondents);
            if !correspondents.is_empty()
                && let Ok(key) = self.prober.key(&name)
            {
                self.counters.count(Counter::ChaFound);
                self.wait(name, correspondents, agents, key, deadline).await;
            }
        }
        Release::Leaves
    }

    /// Remembers what an answer says and, where that contradicts what stands,
    /// waits until it does no longer.
    pub(crate) async fn compare(
        &self,
        name: &str,
        correspondents: &[IpAddr],
        verdict: &Verdict,
    ) -> Release {
        let agents = match verdict {
            Verdict::Agents(agents) => Some(agents.as_slice()),
            Verdict::NoAgent | Verdict::Wildcard | Verdict::Insecure => Some(&[][..]),
            Verdict::Unkeyed(_) | Verdict::Failed => None,
        };
        let captured = self.ledger.note(name, correspondents, agents);
        if captured.is_empty() {
            return Release::Leaves;
        }
        let count = captured.len();
        let (withdrawn, confirmed) = oneshot::channel();
        let contradiction = Contradiction {
            captured,
            withdrawn,
        };
        let told = async {
            let report = Report::Contradiction(contradiction);
            self.reports.send(report).await.ok()?;
            confirmed.await.ok()
        };
        tokio::select! {
            told = timeout(CONFIRMATION, told) => {
                if let Ok(Some(())) = told {
                    for _ in 0..count {
                        self.counters.count(Counter::CapturesWithdrawn);
                    }
                    return Release::Leaves;
                }
                self.counters.count(Counter::DropUnconfirmed);
                Release::Withheld
            }
            () = self.tasks.stopped() => Release::Leaves,
        }
    }

    /// Tells of an agent, and waits for the binding.
    async fn wait(
        &self,
        name: String,
        correspondents: Vec<IpAddr>,
        agents: Vec<IpAddr>,
        key: Option<AgentKey>,
        deadline: Instant,
    ) {
        let (ready, released) = oneshot::channel();
        let told = self.tell(Discovery {
            name,
            correspondents,
            agents,
            key,
            ready,
        });
        if !told || self.hold.is_zero() {
            return;
        }
        self.counters.count(Counter::Held);
        tokio::select! {
            _ = released => self.counters.count(Counter::HoldReleased),
            () = sleep_until(deadline) => self.counters.count(Counter::HoldExpired),
            () = self.tasks.stopped() => {}
        }
    }

    /// Tells of an agent that is found after the answer has left.
    fn follow(
        &self,
        name: String,
        correspondents: Vec<IpAddr>,
        mut progress: watch::Receiver<Progress>,
    ) {
        let Ok(permit) = Arc::clone(&self.late).try_acquire_owned() else {
            return;
        };
        let holder = self.clone();
        self.tasks.spawn(async move {
            let _permit = permit;
            let Ok(Progress::Done(verdict)) = progress
                .wait_for(|progress| matches!(progress, Progress::Done(_)))
                .await
                .map(|progress| progress.clone())
            else {
                return;
            };
            holder.compare(&name, &correspondents, &verdict).await;
            let Verdict::Agents(agents) = verdict else {
                return;
            };
            let correspondents = holder.prober.reachable(&name, correspondents);
            if correspondents.is_empty() {
                return;
            }
            let Ok(key) = holder.prober.key(&name) else {
                return;
            };
            holder.counters.count(Counter::ChaFoundLate);
            let (ready, _nobody_waits) = oneshot::channel();
            holder.tell(Discovery {
                name,
                correspondents,
                agents,
                key,
                ready,
            });
        });
    }

    fn tell(&self, discovery: Discovery) -> bool {
        let told = self.reports.try_send(Report::Discovery(discovery)).is_ok();
        if !told {
            self.counters.count(Counter::DropDiscoveryFull);
        }
        told
    }
}

/// The verdict, if it comes before `window`, or, once an agent is likely,
/// before `deadline`.
async fn verdict_in_time(
    progress: &mut watch::Receiver<Progress>,
    window: Instant,
    deadline: Instant,
) -> Option<Verdict> {
    loop {
        let limit = match &*progress.borrow_and_update() {
            Progress::Done(verdict) => return Some(verdict.clone()),
            Progress::Likely => deadline,
            Progress::Asking => window,
        };
        tokio::select! {
            biased;
            changed = progress.changed() => if changed.is_err() {
                return Some(Verdict::Failed);
            },
            () = sleep_until(limit) => return None,
        }
    }
}

#[cfg(test)]
mod tests;
