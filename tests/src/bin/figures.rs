//! Makes the figures of docs/performance.md.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use clap::Parser;
use lab::{
    figures::{
        NEEDS, Part, Place, connect, guest, machine,
        report::{self, Section},
    },
    process, programs,
    sandbox::{self, Entry},
};

/// Makes the figures of docs/performance.md: ratios, both sides in one run.
#[derive(Parser)]
struct Arguments {
    /// Puts the tables into this document, between its markers; with --only in the place of the former ones.
    #[arg(long, value_name = "DOCUMENT", num_args = 0..=1, default_missing_value = "docs/performance.md")]
    write: Option<PathBuf>,
    /// Few repetitions: whether it works, not how well.
    #[arg(long, conflicts_with = "write")]
    quick: bool,
    /// Only these: names, connect, moves, throughput, tunnels, bindings, machine. Or single parts of them, as they
    /// are called while they are measured.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Measures one part in this very process and prints it as JSON.
    #[arg(long, hide = true)]
    part: Option<Part>,
    /// Measures one part in the guest, for the machine outside.
    #[arg(long, hide = true)]
    report: Option<Part>,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    match words.as_slice() {
        [_, verb, name] if verb == connect::APPLICATION => return become_the_application(name),
        [_, probe] if probe == guest::PROBE => return guest::probe(),
        _ => {}
    }
    let arguments = Arguments::parse();
    match (arguments.part, arguments.report) {
        (Some(part), _) => measure(part, arguments.quick),
        (None, Some(part)) => report(part, arguments.quick),
        (None, None) => make(&arguments),
    }
}

fn become_the_application(name: &str) -> ExitCode {
    match connect::application(name) {
        Ok(words) => {
            println!("{words}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures one part in a room.
fn measure(part: Part, quick: bool) -> ExitCode {
    match sandbox::enter() {
        Entry::Done(code) => return code,
        Entry::Refused(reason) => {
            eprintln!("figures: no room for the lab here: {reason}");
            return ExitCode::FAILURE;
        }
        Entry::Inside => {}
    }
    let sections = sandbox::on_interrupt(|| {})
        .map_err(lab::Failure::from)
        .and_then(|()| part.measure(quick));
    let code = match sections.map(|sections| serde_json::to_string(&sections)) {
        Ok(Ok(json)) => {
            println!("{json}");
            0
        }
        Ok(Err(error)) => {
            eprintln!("figures: {error}");
            1
        }
        Err(failure) => {
            for (name, log) in process::logs() {
                let lines: Vec<&str> = log.lines().collect();
                for line in &lines[lines.len().saturating_sub(15)..] {
                    eprintln!("{name}: {line}");
                }
            }
            eprintln!("figures: {part}: {failure}");
            1
        }
    };
    // At once: nothing in the room needs an orderly end.
    std::process::exit(code)
}

/// Measures a part in a process of its own, and tells the machine outside.
fn report(part: Part, quick: bool) -> ExitCode {
    guest::report_machine(machine::description());
    eprintln!("figures: {part} ...");
    match measure_in_a_child(part, quick) {
        Ok(sections) => {
            guest::report_sections(part, sections);
            ExitCode::SUCCESS
        }
        Err(words) => {
            eprintln!("figures: {words}");
            ExitCode::FAILURE
        }
    }
}

/// Measures all parts one after another, and shows the tables.
fn make(arguments: &Arguments) -> ExitCode {
    for (program, package) in NEEDS {
        if programs::installed(program).is_none() {
            eprintln!("figures: {program} is missing: apt-get install {package}");
            return ExitCode::FAILURE;
        }
    }
    let chosen: Vec<Part> = Part::ALL
        .into_iter()
        .filter(|part| {
            let is_it = |name: &String| name == part.name() || *name == part.to_string();
            arguments.only.is_empty() || arguments.only.iter().any(is_it)
        })
        .collect();
    // Before the first part: later the figures themselves are the load.
    let load = machine::load();
    let (machines, mut measured) = measure_all(&chosen, arguments.quick);
    let mut sections: Vec<Section> = Vec::new();
    let mut failed = Vec::new();
    for part in chosen.iter().map(Part::to_string) {
        match measured.remove(&part) {
            Some(found) => found
                .into_iter()
                .for_each(|section| report::merge(&mut sections, section)),
            None => failed.push(part),
        }
    }
    println!("\n{}", report::text(&machines, &sections));
    if load > f64::from(u32::try_from(cores()).unwrap_or(1)) * 0.75 {
        eprintln!(
            "figures: the machine was busy with other things (load {load}): do not trust these"
        );
    }
    if !failed.is_empty() {
        eprintln!("figures: not measured: {}", failed.join(", "));
        return ExitCode::FAILURE;
    }
    if let Some(document) = &arguments.write
        && let Err(error) = put(document, arguments, &machines, &sections)
    {
        eprintln!("figures: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Measures parts, those that need tunnels last. Gives where that was, and the sections by the names of parts.
fn measure_all(parts: &[Part], quick: bool) -> (String, BTreeMap<String, Vec<Section>>) {
    let in_guest = |part: &Part| part.place() == Place::WithTunnels;
    let there_is_a_guest = parts.iter().any(in_guest) && !guest::is_needless();
    let (outside, inside): (Vec<Part>, Vec<Part>) = parts
        .iter()
        .partition(|part| !(there_is_a_guest && in_guest(part)));
    let mut machines = Vec::new();
    let mut measured = BTreeMap::new();
    if !outside.is_empty() {
        machines.push(format!("Measured on {}.", machine::description()));
    }
    for part in outside {
        eprintln!("figures: {part} ...");
        let sections = if part == Part::Machine {
            part.measure(quick).map_err(|failure| failure.to_string())
        } else {
            measure_in_a_child(part, quick)
        };
        match sections {
            Ok(sections) => drop(measured.insert(part.to_string(), sections)),
            Err(words) => eprintln!("figures: {words}"),
        }
    }
    if !inside.is_empty() {
        let mut found = guest::measure(&inside, quick);
        machines.push(format!("In the guest: {}.", found.machine));
        measured.append(&mut found.sections);
    }
    (machines.join("\n\n"), measured)
}

fn put(
    document: &Path,
    arguments: &Arguments,
    machines: &str,
    sections: &[Section],
) -> Result<(), lab::LabError> {
    if arguments.only.is_empty() {
        report::write(document, machines, sections)
    } else {
        report::write_part(document, machines, sections)
    }
}

fn measure_in_a_child(part: Part, quick: bool) -> Result<Vec<Section>, String> {
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(this);
    command.args(["--part", &part.to_string()]);
    if quick {
        command.arg("--quick");
    }
    // The daemons' logs cost time; a person who wants them can say so.
    if std::env::var_os("LAB_LOG").is_none() {
        command.env("LAB_LOG", "warn");
    }
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("{part} failed"));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("{part}: {error}"))
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
