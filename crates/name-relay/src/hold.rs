//! Holding an answer until the binding stands.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use crate::counters::{Counter, Counters};
use crate::prober::{Probe, Progress, Verdict};
use crate::tasks::Tasks;

/// The most answers whose agent is awaited after they have left.
const MAX_LATE: usize = 64;

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
    /// The answer leaves when this is fired or dropped, or when the hold has
    /// passed. Nobody listens where the agent was found only after the answer
    /// had left: a binding then serves later sockets.
    pub ready: oneshot::Sender<()>,
}

/// Decides when an answer with addresses may leave.
#[derive(Debug)]
pub(crate) struct Holder {
    hold: Duration,
    lookup_window: Duration,
    discoveries: mpsc::Sender<Discovery>,
    late: Arc<Semaphore>,
    tasks: Tasks,
    counters: Arc<Counters>,
}

impl Holder {
    pub(crate) fn new(
        hold: Duration,
        lookup_window: Duration,
        discoveries: mpsc::Sender<Discovery>,
        tasks: Tasks,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            hold,
            lookup_window,
            discoveries,
            late: Arc::new(Semaphore::new(MAX_LATE)),
            tasks,
            counters,
        }
    }

    /// Returns when the answer for `name` may leave: at once without an
    /// agent, else when the binding stands or the hold has passed.
    pub(crate) async fn hold(&self, name: String, correspondents: Vec<IpAddr>, probe: Probe) {
        let now = Instant::now();
        let deadline = now + self.hold;
        let verdict = match probe {
            Probe::Known(verdict) => verdict,
            Probe::Running(mut progress) => {
                let window = now + self.hold.min(self.lookup_window);
                tokio::select! {
                    verdict = verdict_in_time(&mut progress, window, deadline) => match verdict {
                        Some(verdict) => verdict,
                        None => return self.follow(name, correspondents, progress),
                    },
                    () = self.tasks.stopped() => return,
                }
            }
        };
        let Verdict::Agents(agents) = verdict else {
            return;
        };
        self.counters.count(Counter::ChaFound);
        let (ready, released) = oneshot::channel();
        let told = tell(
            &self.discoveries,
            Discovery {
                name,
                correspondents,
                agents,
                ready,
            },
        );
        if !told {
            self.counters.count(Counter::DropDiscoveryFull);
            return;
        }
        if self.hold.is_zero() {
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
        let discoveries = self.discoveries.clone();
        let counters = Arc::clone(&self.counters);
        self.tasks.spawn(async move {
            let _permit = permit;
            let Ok(Progress::Done(Verdict::Agents(agents))) = progress
                .wait_for(|progress| matches!(progress, Progress::Done(_)))
                .await
                .map(|progress| progress.clone())
            else {
                return;
            };
            counters.count(Counter::ChaFoundLate);
            let (ready, _nobody_waits) = oneshot::channel();
            let discovery = Discovery {
                name,
                correspondents,
                agents,
                ready,
            };
            if !tell(&discoveries, discovery) {
                counters.count(Counter::DropDiscoveryFull);
            }
        });
    }
}

fn tell(discoveries: &mpsc::Sender<Discovery>, discovery: Discovery) -> bool {
    discoveries.try_send(discovery).is_ok()
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
