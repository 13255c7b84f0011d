//! The times of the hold, on tokio's paused clock: exact.

use super::*;
use crate::socket::Sockets;
use crate::upstream::{Servers, Upstreams};

const MS: Duration = Duration::from_millis(1);
const HOLD: Duration = Duration::from_millis(300);

struct Bench {
    holder: Arc<Holder>,
    reports: mpsc::Receiver<Report>,
    counters: Arc<Counters>,
    tasks: Tasks,
}

fn bench(hold: Duration) -> Bench {
    let (sender, reports) = mpsc::channel(8);
    let counters = Arc::new(Counters::new());
    let tasks = Tasks::default();
    Bench {
        holder: Arc::new(Holder::new(
            hold,
            50 * MS,
            sender,
            Arc::new(Ledger::new(Arc::clone(&counters))),
            prober(&tasks, &counters),
            tasks.clone(),
            Arc::clone(&counters),
        )),
        reports,
        counters,
        tasks,
    }
}

/// One that knows of no name server.
fn prober(tasks: &Tasks, counters: &Arc<Counters>) -> Arc<Prober> {
    let (_, servers) = watch::channel(Servers::from(vec![]));
    let sockets = Sockets::new(None);
    let upstreams = Upstreams::new(servers.clone(), sockets.clone(), Arc::clone(counters));
    Arc::new(Prober::new(
        servers,
        upstreams.into(),
        sockets,
        None,
        50 * MS,
        tasks.clone(),
        Arc::clone(counters),
    ))
}

fn agents() -> Verdict {
    Verdict::Agents(vec![[198, 51, 100, 7].into()])
}

impl Bench {
    async fn discovery(&mut self) -> Discovery {
        match self.reports.recv().await.unwrap() {
            Report::Discovery(discovery) => discovery,
            Report::Contradiction(contradiction) => panic!("{contradiction:?}"),
        }
    }

    /// How long an answer is held.
    async fn held(&self, probe: Probe) -> Duration {
        let began = Instant::now();
        let correspondents = vec![[192, 0, 2, 1].into()];
        self.holder
            .hold("server.example".into(), correspondents, Some(probe))
            .await;
        began.elapsed()
    }
}

/// A lookup that makes its way at the given times.
fn running(steps: Vec<(Duration, Progress)>) -> Probe {
    let (sender, receiver) = watch::channel(Progress::Asking);
    tokio::spawn(async move {
        let began = Instant::now();
        for (at, progress) in steps {
            sleep_until(began + at).await;
            sender.send_replace(progress);
        }
        // Nothing more comes, but the sender lives on.
        sleep_until(began + 3600 * 1000 * MS).await;
    });
    Probe::Running(receiver)
}

#[tokio::test(start_paused = true)]
async fn without_an_agent_the_delay_is_the_rest_of_the_lookup() {
    let bench = bench(HOLD);
    let known = Probe::Known(Verdict::NoAgent);
    assert_eq!(bench.held(known).await, Duration::ZERO);
    let late = running(vec![(30 * MS, Progress::Done(Verdict::NoAgent))]);
    assert_eq!(bench.held(late).await, 30 * MS);
}

#[tokio::test(start_paused = true)]
async fn an_open_lookup_delays_no_longer_than_its_window() {
    assert_eq!(bench(HOLD).held(running(vec![])).await, 50 * MS);
    assert_eq!(bench(20 * MS).held(running(vec![])).await, 20 * MS);
    assert_eq!(
        bench(Duration::ZERO).held(running(vec![])).await,
        Duration::ZERO
    );
}

#[tokio::test(start_paused = true)]
async fn window_and_binding_together_take_no_longer_than_the_hold() {
    let mut bench = bench(HOLD);
    let probe = running(vec![(40 * MS, Progress::Done(agents()))]);
    assert_eq!(bench.held(probe).await, HOLD);
    assert!(bench.reports.try_recv().is_ok());
    assert_eq!(bench.counters.value(Counter::HoldExpired), 1);
}

#[tokio::test(start_paused = true)]
async fn a_likely_agent_may_take_the_whole_hold_to_be_told_from_a_wildcard() {
    let bench = bench(HOLD);
    let wildcard = running(vec![
        (10 * MS, Progress::Likely),
        (200 * MS, Progress::Done(Verdict::Wildcard)),
    ]);
    assert_eq!(bench.held(wildcard).await, 200 * MS);
    let endless = running(vec![(10 * MS, Progress::Likely)]);
    assert_eq!(bench.held(endless).await, HOLD);
    assert_eq!(bench.counters.value(Counter::Held), 0);
}

#[tokio::test(start_paused = true)]
async fn the_answer_leaves_the_moment_the_binding_stands() {
    let mut bench = bench(HOLD);
    let holder = Arc::clone(&bench.holder);
    let held = tokio::spawn(async move {
        let began = Instant::now();
        let correspondents = vec![[192, 0, 2, 1].into()];
        let probe = Some(Probe::Known(agents()));
        holder.hold("x.example".into(), correspondents, probe).await;
        began.elapsed()
    });
    let discovery = bench.discovery().await;
    tokio::time::sleep(70 * MS).await;
    discovery.ready.send(()).unwrap();
    assert_eq!(held.await.unwrap(), 70 * MS);
    assert_eq!(bench.counters.value(Counter::HoldReleased), 1);
}

#[tokio::test(start_paused = true)]
async fn a_hold_of_zero_tells_but_never_waits() {
    let mut bench = bench(Duration::ZERO);
    assert_eq!(bench.held(Probe::Known(agents())).await, Duration::ZERO);
    assert!(bench.reports.try_recv().is_ok());
    assert_eq!(bench.counters.value(Counter::Held), 0);
}

#[tokio::test(start_paused = true)]
async fn an_agent_found_late_is_told_later() {
    let mut bench = bench(HOLD);
    let probe = running(vec![(900 * MS, Progress::Done(agents()))]);
    assert_eq!(bench.held(probe).await, 50 * MS);
    let began = Instant::now();
    let discovery = bench.discovery().await;
    assert_eq!(began.elapsed(), 850 * MS);
    assert!(discovery.ready.is_closed());
}

#[tokio::test(start_paused = true)]
async fn late_followers_are_bounded() {
    let bench = bench(HOLD);
    let probe = running(vec![(10_000 * MS, Progress::Done(agents()))]);
    for _ in 0..MAX_LATE + 20 {
        bench.held(probe.clone()).await;
    }
    assert_eq!(bench.holder.late.available_permits(), 0);
    bench.tasks.abort();
}

#[tokio::test(start_paused = true)]
async fn a_lookup_that_breaks_down_holds_nothing() {
    let bench = bench(HOLD);
    let (sender, receiver) = watch::channel(Progress::Asking);
    drop(sender);
    assert_eq!(bench.held(Probe::Running(receiver)).await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_mobile_node_that_is_gone_holds_nothing() {
    let mut bench = bench(HOLD);
    bench.reports.close();
    assert_eq!(bench.held(Probe::Known(agents())).await, Duration::ZERO);
    assert_eq!(bench.counters.value(Counter::DropDiscoveryFull), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lookup_that_fails_changes_nothing_of_what_is_known() {
    let mut bench = bench(HOLD);
    let correspondent = IpAddr::from([192, 0, 2, 1]);
    let agent = IpAddr::from([198, 51, 100, 7]);
    bench.held(Probe::Known(agents())).await;
    let ledger = Arc::clone(&bench.holder.ledger);
    assert_eq!(ledger.capture(agent, &[correspondent]), [correspondent]);
    drop(bench.reports.recv().await);
    bench.held(Probe::Known(Verdict::Failed)).await;
    bench.held(running(vec![])).await;
    assert!(bench.reports.try_recv().is_err());
    assert_eq!(ledger.capture(agent, &[correspondent]), [correspondent]);
}
