//! The demonstration: one download on two laptops that change networks at the same moments, one of them with the
//! agent. Everything happens in the lab's own namespaces, and is gone at the end.

mod screen;

use std::{
    io::IsTerminal,
    net::IpAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use clap::Parser;
use lab::{
    AccessNetwork, AgentSettings, Failure, HomeAgent, HttpServer, Internet, Laptop, MobileAgent,
    Process, Site, SiteKind, Status, Told,
    chart::{self, Curve, Move},
    programs,
    sandbox::{self, Entry},
    stage::{BOUND, check_body},
};
use screen::{Picture, Row, Screen};

/// Octets per second that the web server gives.
const RATE: usize = 500_000;

/// A laptop whose download stood still for so long at the end has lost it.
const PATIENCE: Duration = Duration::from_secs(10);

/// A real download through three changes of network, with mn-agent and without.
#[derive(Parser)]
struct Arguments {
    /// Nine seconds instead of twenty-four.
    #[arg(long)]
    quick: bool,
    /// Where the picture goes (default: demo.svg in the build directory).
    #[arg(long)]
    svg: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(package) = programs::missing_package(&["curl"]) {
        eprintln!("demo: curl is missing: apt-get install {package}");
        return ExitCode::FAILURE;
    }
    match sandbox::enter() {
        Entry::Done(code) => return code,
        Entry::Refused(reason) => {
            eprintln!("demo: no room for the lab here: {reason}");
            return ExitCode::FAILURE;
        }
        Entry::Inside => {}
    }
    let live = std::io::stdout().is_terminal();
    let told =
        sandbox::on_interrupt(move || screen::leave(live, "stopped; nothing is left behind"))
            .map_err(Failure::from)
            .and_then(|()| demonstrate(&arguments, Screen::new(live)));
    let code = match told {
        Ok(()) => 0,
        Err(failure) => {
            screen::leave(live, &format!("demo: {failure}"));
            for (name, log) in lab::process::logs() {
                for line in log
                    .lines()
                    .rev()
                    .take(15)
                    .collect::<Vec<_>>()
                    .into_iter()
                    .rev()
                {
                    eprintln!("{name}: {line}");
                }
            }
            1
        }
    };
    std::process::exit(code)
}

/// How long everything takes.
struct Timing {
    moves: [Duration; 3],
    download: Duration,
    slice: Duration,
}

impl Timing {
    fn new(quick: bool) -> Timing {
        let (first, between, slice) = if quick {
            (2_000, 2_000, 200)
        } else {
            (5_000, 6_000, 400)
        };
        let at = |number: u64| Duration::from_millis(first + number * between);
        Timing {
            moves: [at(0), at(1), at(2)],
            download: at(3),
            slice: Duration::from_millis(slice),
        }
    }

    fn octets(&self) -> usize {
        RATE * usize::try_from(self.download.as_millis()).unwrap_or_default() / 1000
    }
}

/// One laptop and its download.
struct Traveller {
    title: &'static str,
    laptop: Laptop,
    file: PathBuf,
    curl: Process,
    started: Instant,
    sampled: Instant,
    rates: Vec<(f64, f64)>,
    octets: u64,
    last_growth: Instant,
}

impl Traveller {
    fn start(title: &'static str, laptop: Laptop, octets: usize) -> Result<Traveller, Failure> {
        let file = laptop.node().directory().join("download");
        let url = format!("http://download.example/{octets}/{RATE}");
        let curl = laptop
            .node()
            .program("curl")
            .args(["-sS", "-o"])
            .arg(&file)
            .arg(url)
            .start()?;
        Ok(Traveller {
            title,
            laptop,
            file,
            curl,
            started: Instant::now(),
            sampled: Instant::now(),
            rates: Vec::new(),
            octets: 0,
            last_growth: Instant::now(),
        })
    }

    fn sample(&mut self) {
        let now = Instant::now();
        let slice = now.duration_since(self.sampled).as_secs_f64();
        self.sampled = now;
        let octets = self.file.metadata().map_or(0, |metadata| metadata.len());
        let grown = u32::try_from(octets.saturating_sub(self.octets)).unwrap_or(u32::MAX);
        let since_start = now.duration_since(self.started).as_secs_f64();
        self.rates
            .push((since_start, f64::from(grown) / slice.max(0.001)));
        if grown > 0 {
            self.last_growth = now;
        }
        self.octets = octets;
    }

    fn is_stuck(&self) -> bool {
        self.last_growth.elapsed() > PATIENCE
    }
}

fn demonstrate(arguments: &Arguments, mut screen: Screen) -> Told {
    let timing = Timing::new(arguments.quick);
    screen.note("Building a small internet in namespaces of its own ...");
    let mut internet = Internet::new(&["cafe", "train", "office", "home"])?;
    let site = internet.site("download.example", SiteKind::Gateway)?;
    let networks = [0, 1, 2, 3].map(|number| internet.access(number));
    let (with, without) = (internet.laptop("laptop")?, internet.laptop("other-laptop")?);
    for laptop in [&with, &without] {
        laptop.move_to(&networks[0])?;
    }
    let web = HttpServer::start(&site.server, 80)?;
    let mut chad = HomeAgent::start(&site)?;
    let mut agent = MobileAgent::start_with(&with, &AgentSettings::default())?;
    screen.note(&format!(
        "curl http://download.example/ ({:.0} MB) on two laptops; both move from network to network at the same moments.",
        timing.octets() as f64 / 1e6
    ));

    // As with a browser, the page comes before the download. Where the first look for the home agent takes
    // longer than a connection may be delayed, the page comes plainly, and the binding serves the download.
    with.node()
        .program("curl")
        .args(["-sS", "-o", "/dev/null", "http://download.example/1000"])
        .finish(BOUND)?
        .success()?;
    agent.wait_for_binding(site.agent, with.address_in(&networks[0]), BOUND)?;

    let mut travellers = [
        Traveller::start("with mn-agent", with, timing.octets())?,
        Traveller::start("without", without, timing.octets())?,
    ];
    let view = View {
        networks: &networks,
        site: &site,
        web: &web,
        agent: &agent,
    };
    let moves = travel(&timing, &view, &mut travellers, &mut screen)?;

    let [with, without] = &mut travellers;
    let finished = with.curl.finish(Duration::from_secs(1))?;
    let whole = finished.success().is_ok() && check_body(&with.file, timing.octets()).is_ok();
    let lost = without.curl.is_running();
    for traveller in [&mut *with, &mut *without] {
        traveller.sample();
    }
    let seconds = with.rates.last().map_or(0.0, |(until, _)| *until);
    let outcome = |traveller: &Traveller, well: bool| {
        let megabytes = traveller.octets as f64 / 1e6;
        if well {
            format!("{megabytes:.1} MB, every octet in its place")
        } else {
            format!("stuck after {megabytes:.1} MB")
        }
    };
    let curves = [
        Curve {
            title: with.title.to_owned(),
            outcome: outcome(with, whole),
            rates: with.rates.clone(),
            colour: "seagreen",
        },
        Curve {
            title: without.title.to_owned(),
            outcome: outcome(without, !lost),
            rates: without.rates.clone(),
            colour: "firebrick",
        },
    ];
    let path = arguments.svg.clone().map_or_else(default_svg, Ok)?;
    std::fs::write(&path, chart::svg(&curves, &moves, seconds))
        .map_err(lab::LabError::io(format!("write {}", path.display())))?;
    for curve in &curves {
        screen.note(&format!("{}: {}", curve.title, curve.outcome));
    }
    agent.stop()?;
    chad.stop()?;
    screen.note(&format!("picture: {}", path.display()));
    if whole && lost {
        Ok(())
    } else {
        Err(Failure::new(
            "the download with mn-agent should have lived and the other one died",
        ))
    }
}

/// What can be seen from outside of the laptops.
struct View<'a> {
    networks: &'a [AccessNetwork],
    site: &'a Site,
    web: &'a HttpServer,
    agent: &'a MobileAgent,
}

/// Moves the laptops at their times and watches, until the first download is complete or nothing passes any more.
fn travel(
    timing: &Timing,
    view: &View<'_>,
    travellers: &mut [Traveller; 2],
    screen: &mut Screen,
) -> Result<Vec<Move>, Failure> {
    let latest = Mutex::new(None);
    let arrived = AtomicBool::new(false);
    thread::scope(|scope| {
        // Asking the agent takes a moment, which must not stretch the picture's slices.
        scope.spawn(|| {
            while !arrived.load(Ordering::SeqCst) {
                let status = view.agent.status().ok();
                *latest.lock().unwrap_or_else(PoisonError::into_inner) = status;
                thread::sleep(timing.slice / 2);
            }
        });
        let moves = watch(timing, view, &latest, travellers, screen);
        arrived.store(true, Ordering::SeqCst);
        moves
    })
}

fn watch(
    timing: &Timing,
    view: &View<'_>,
    latest: &Mutex<Option<Status>>,
    travellers: &mut [Traveller; 2],
    screen: &mut Screen,
) -> Result<Vec<Move>, Failure> {
    let started = Instant::now();
    let mut moves: Vec<Move> = Vec::new();
    let mut marked: Vec<usize> = Vec::new();
    let mut network = &view.networks[0];
    let longest = timing.download * 2 + PATIENCE;
    while started.elapsed() < longest {
        if let Some(due) = timing.moves.get(moves.len())
            && started.elapsed() >= *due
        {
            network = &view.networks[(moves.len() + 1) % view.networks.len()];
            moves.push(Move {
                at: started.elapsed().as_secs_f64(),
                to: network.name.clone(),
            });
            marked.push(travellers[0].rates.len());
            for traveller in travellers.iter() {
                traveller.laptop.move_to(network)?;
            }
            screen.event(&format!("both laptops move to the {}", network.name));
        }
        thread::sleep(timing.slice);
        for traveller in travellers.iter_mut() {
            traveller.sample();
        }
        let status = latest
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let [with, without] = &*travellers;
        let place = format!("address {}", without.laptop.address_in(network));
        screen.show(&Picture {
            elapsed: started.elapsed(),
            network: &network.name,
            top: RATE as f64 * 1.2,
            marked: &marked,
            rows: [
                describe(
                    with,
                    without,
                    &binding(status.as_ref(), view.site),
                    true,
                    view,
                ),
                describe(without, without, &place, false, view),
            ],
        });
        let done = !travellers[0].curl.is_running();
        if moves.len() == timing.moves.len() && (done || travellers.iter().all(Traveller::is_stuck))
        {
            break;
        }
    }
    Ok(moves)
}

/// What the agent says about its binding with the site.
fn binding(status: Option<&Status>, site: &Site) -> String {
    let found = status
        .iter()
        .flat_map(|status| &status.bindings)
        .find(|binding| binding.cha == Some(site.agent));
    let Some(binding) = found else {
        return "no binding".to_owned();
    };
    let show = |address: Option<IpAddr>| address.map_or("-".to_owned(), |it| it.to_string());
    let (care_of, choa) = (show(binding.care_of), show(binding.choa));
    format!("care-of {care_of} · CHoA {choa} · {}", binding.state)
}

fn describe(
    traveller: &Traveller,
    without: &Traveller,
    place: &str,
    has_agent: bool,
    view: &View<'_>,
) -> Row {
    // Both download from one server: what comes from the other laptop's own addresses is the other's.
    let is_other = |peer: IpAddr| {
        view.networks
            .iter()
            .any(|network| without.laptop.address_in(network) == peer)
    };
    let seen: Vec<String> = view
        .web
        .peers()
        .into_iter()
        .filter(|peer| is_other(*peer) != has_agent)
        .map(|peer| peer.to_string())
        .collect();
    let seen = if seen.is_empty() {
        "nobody yet".to_owned()
    } else {
        seen.join(", ")
    };
    let quiet = traveller.last_growth.elapsed();
    let quiet = if quiet > Duration::from_secs(1) {
        format!(" · silent for {:.0} s", quiet.as_secs_f64())
    } else {
        String::new()
    };
    Row {
        title: traveller.title,
        megabytes: traveller.octets as f64 / 1e6,
        rates: traveller.rates.clone(),
        place: place.to_owned(),
        seen: format!("the server sees {seen}{quiet}"),
    }
}

/// demo.svg in the build directory, two levels above this program.
fn default_svg() -> Result<PathBuf, Failure> {
    let this = std::env::current_exe().map_err(lab::LabError::io("find this program"))?;
    Ok(this
        .ancestors()
        .nth(2)
        .unwrap_or(Path::new("/tmp"))
        .join("demo.svg"))
}
