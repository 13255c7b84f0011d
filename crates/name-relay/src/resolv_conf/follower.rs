//! Following `resolv.conf`: DHCP clients and network managers rewrite it at
//! every move.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use inotify::{EventStream, Inotify, WatchMask};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::counters::{Counter, Counters};
use crate::error::Error;
use crate::upstream::Servers;

use super::installation::{Installation, Seen};

/// How long the file must be left alone before it is read: a writer in place
/// empties it first.
const SETTLE: Duration = Duration::from_millis(20);
/// The most that a busy writer can put off reading.
const MAX_SETTLE: Duration = Duration::from_millis(200);
/// The file is looked at this often without any event, for file systems and
/// replaced folders of which the kernel tells nothing.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// The same where the kernel gives no watch at all.
const LOOK_AGAIN_BLIND: Duration = Duration::from_secs(1);
/// So many rewrites within [`FIGHT_WINDOW`] are a fight with another writer.
const FIGHT_REWRITES: usize = 5;
/// How long rewrites are remembered, and how long a fight is paused.
const FIGHT_WINDOW: Duration = Duration::from_secs(10);
/// Room for the events of one read.
const EVENT_BUFFER: usize = 4096;

/// Keeps the relay in `resolv.conf` and its list of name servers true.
pub(crate) struct Follower {
    installation: Installation,
    servers: watch::Sender<Servers>,
    /// Whether the name servers of the file are used at all.
    publishes: bool,
    events: Option<EventStream<Vec<u8>>>,
    rewrites: VecDeque<Instant>,
    /// When a rewrite that was put off is due.
    due: Option<Instant>,
    counters: Arc<Counters>,
}

impl Follower {
    /// Writes the relay into the file (if it is to write) and starts to
    /// watch. Must be called within a tokio runtime.
    pub(crate) fn start(
        mut installation: Installation,
        servers: watch::Sender<Servers>,
        publishes: bool,
        counters: Arc<Counters>,
    ) -> Result<Self, Error> {
        let events = Inotify::init()
            .and_then(|inotify| inotify.into_event_stream(vec![0; EVENT_BUFFER]))
            .inspect_err(|error| {
                tracing::warn!(%error, "no watch on resolv.conf; it is read every second");
            })
            .ok();
        if installation.write()? {
            counters.count(Counter::ResolvConfWrites);
        }
        let mut follower = Self {
            installation,
            servers,
            publishes,
            events,
            rewrites: VecDeque::new(),
            due: None,
            counters,
        };
        follower.watch();
        Ok(follower)
    }

    /// Follows the file until `stop`, then restores it.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> Result<(), Error> {
        loop {
            let again = if self.events.is_some() {
                LOOK_AGAIN
            } else {
                LOOK_AGAIN_BLIND
            };
            let again = Instant::now() + again;
            let wake = self.due.map_or(again, |due| due.min(again));
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = next_change(self.events.as_mut(), &self.installation) => {
                    settle(self.events.as_mut()).await;
                }
                () = sleep_until(wake) => {}
            }
            self.look();
        }
        self.installation.restore()
    }

    fn look(&mut self) {
        match self.installation.look() {
            Ok(Seen::Nothing) => self.due = None,
            Ok(Seen::Foreign(found)) => {
                self.publish(found);
                self.rewrite();
            }
            Err(error) => tracing::warn!(%error, "resolv.conf"),
        }
        self.watch();
    }

    /// A file without name servers is a file in the making, or a network
    /// that is gone: those in use are kept.
    fn publish(&self, found: Vec<SocketAddr>) {
        if !self.publishes || found.is_empty() {
            return;
        }
        let changed = self.servers.send_if_modified(|servers| {
            let changed = **servers != *found;
            if changed {
                *servers = found.into();
            }
            changed
        });
        if changed {
            self.counters.count(Counter::UpstreamChanges);
            tracing::info!("name servers changed");
        }
    }

    fn rewrite(&mut self) {
        let now = Instant::now();
        while self
            .rewrites
            .front()
            .is_some_and(|then| *then + FIGHT_WINDOW <= now)
        {
            self.rewrites.pop_front();
        }
        if let Some(oldest) = self.rewrites.front()
            && self.rewrites.len() >= FIGHT_REWRITES
        {
            if self.due.is_none() {
                tracing::warn!(
                    rewrites = self.rewrites.len(),
                    "another program keeps rewriting resolv.conf; pausing"
                );
            }
            self.due = Some(*oldest + FIGHT_WINDOW);
            return;
        }
        self.due = None;
        match self.installation.write() {
            Ok(true) => {
                self.rewrites.push_back(now);
                self.counters.count(Counter::ResolvConfWrites);
            }
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "resolv.conf"),
        }
    }

    /// A watch holds on to a file, not to a name: renewed after every change.
    fn watch(&mut self) {
        let Some(events) = &self.events else {
            return;
        };
        let mask = WatchMask::CLOSE_WRITE
            | WatchMask::CREATE
            | WatchMask::DELETE
            | WatchMask::DELETE_SELF
            | WatchMask::MOVED_FROM
            | WatchMask::MOVED_TO
            | WatchMask::MOVE_SELF;
        for path in self.installation.watched() {
            if let Err(error) = events.watches().add(&path, mask) {
                tracing::debug!(%error, path = %path.display(), "no watch");
            }
        }
    }
}

/// Resolves when something happened to the file.
async fn next_change(events: Option<&mut EventStream<Vec<u8>>>, installation: &Installation) {
    let Some(events) = events else {
        return std::future::pending().await;
    };
    loop {
        match events.next().await {
            Some(Ok(event)) => match &event.name {
                Some(name) if !installation.concerns(name) => {}
                _ => return,
            },
            Some(Err(error)) => {
                tracing::debug!(%error, "watch on resolv.conf");
                sleep(SETTLE).await;
                return;
            }
            None => return std::future::pending().await,
        }
    }
}

async fn settle(events: Option<&mut EventStream<Vec<u8>>>) {
    let Some(events) = events else {
        return;
    };
    let quiet = async { while let Ok(Some(Ok(_))) = timeout(SETTLE, events.next()).await {} };
    let _busy = timeout(MAX_SETTLE, quiet).await;
}
