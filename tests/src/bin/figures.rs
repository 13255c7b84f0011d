//! Makes the figures of docs/performance.md.

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use clap::Parser;
use lab::{
    figures::{
        NEEDS, Part, connect, machine,
        report::{self, Section},
    },
    process, programs,
    sandbox::{self, Entry},
};

/// Makes the figures of docs/performance.md: ratios, both sides in one run.
#[derive(Parser)]
struct Arguments {
    /// Puts the tables into this document, between its markers.
    #[arg(long, value_name = "DOCUMENT", num_args = 0..=1, default_missing_value = "docs/performance.md")]
    write: Option<PathBuf>,
    /// Few repetitions: whether it works, not how well.
    #[arg(long, conflicts_with = "write")]
    quick: bool,
    /// Only these: names, connect, moves, throughput, machine.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Measures one part in this very process and prints it as JSON.
    #[arg(long, hide = true)]
    part: Option<Part>,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    if let [_, verb, name] = words.as_slice()
        && verb == connect::APPLICATION
    {
        return become_the_application(name);
    }
    let arguments = Arguments::parse();
    match arguments.part {
        Some(part) => measure(part, arguments.quick),
        None => make(&arguments),
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
    let section = sandbox::on_interrupt(|| {})
        .map_err(lab::Failure::from)
        .and_then(|()| part.measure(quick));
    let code = match section.map(|section| serde_json::to_string(&section)) {
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

/// Measures all parts one after another, each in a process of its own, and shows the tables.
fn make(arguments: &Arguments) -> ExitCode {
    let chosen: Vec<Part> = Part::ALL
        .into_iter()
        .filter(|part| {
            arguments.only.is_empty() || arguments.only.iter().any(|name| name == part.family())
        })
        .collect();
    for (program, package) in NEEDS {
        if programs::installed(program).is_none() {
            eprintln!("figures: {program} is missing: apt-get install {package}");
            return ExitCode::FAILURE;
        }
    }
    let mut sections: Vec<Section> = Vec::new();
    // Before the first part: later the figures themselves are the load.
    let load = machine::load();
    let mut failed = Vec::new();
    for part in chosen {
        eprintln!("figures: {part} ...");
        let section = if part == Part::Machine {
            part.measure(arguments.quick)
                .map_err(|failure| eprintln!("figures: {failure}"))
        } else {
            measure_in_a_child(part, arguments.quick).map_err(|words| eprintln!("figures: {words}"))
        };
        match section {
            Ok(section) => report::merge(&mut sections, section),
            Err(()) => failed.push(part.to_string()),
        }
    }
    let tables: Vec<String> = sections.iter().map(Section::markdown).collect();
    let text = format!(
        "Measured on {}.\n\n{}",
        machine::description(),
        tables.join("\n")
    );
    println!("\n{text}");
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
        && let Err(error) = put(document, &arguments.only, &text)
    {
        eprintln!("figures: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn put(document: &Path, only: &[String], text: &str) -> Result<(), lab::LabError> {
    if !only.is_empty() {
        return Err(lab::LabError::Other(
            "--write takes all parts: leave out --only".to_owned(),
        ));
    }
    report::write(document, text)
}

fn measure_in_a_child(part: Part, quick: bool) -> Result<Section, String> {
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
