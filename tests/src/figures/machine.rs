//! What the home agent machine does alone, and on what all of this was measured.

use std::{fs, process::Command, thread};

use super::report::Section;
use crate::{Failure, LabError};

/// Runs the benchmark of the home agent machine, which uses one core, and tabulates what it prints.
pub fn measure() -> Result<Section, Failure> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "bench",
            "-q",
            "-p",
            "mobility-protocol",
            "--bench",
            "home_agent",
        ])
        .output()
        .map_err(LabError::io("start cargo bench"))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::new(format!("cargo bench: {words}")));
    }
    Ok(tabulate(&String::from_utf8_lossy(&output.stdout)))
}

/// Lines of a name and, after a wide gap or a colon, its value.
fn tabulate(printed: &str) -> Section {
    let mut section = Section::new("The home agent machine on one core", &["what", "value"]);
    for line in printed
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        let (name, value) = line
            .split_once("  ")
            .or_else(|| line.split_once(": "))
            .unwrap_or((line, ""));
        let value: Vec<&str> = value.split_whitespace().collect();
        section.row([
            name.trim_end_matches([':', ' ']).to_owned(),
            value.join(" "),
        ]);
    }
    section
}

/// Processor, cores, kernel, and the versions of the programs beside which the project is measured.
#[must_use]
pub fn description() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let processors = read("/proc/cpuinfo");
    let model = processors
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown processor", |rest| {
            rest.trim_start_matches([' ', '\t', ':'])
        })
        .to_owned();
    let cores = match thread::available_parallelism().map_or(1, usize::from) {
        1 => "1 core".to_owned(),
        many => format!("{many} cores"),
    };
    let kernel = read("/proc/sys/kernel/osrelease");
    let versions = ["iperf3", "wireguard-go"].map(version).join(", ");
    format!("{cores} ({model}), Linux {}, {versions}", kernel.trim())
}

/// A program and the last word before any bracket of what it says of its version.
fn version(program: &str) -> String {
    let said = Command::new(program).arg("--version").output();
    let said = said.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let line = said.unwrap_or_default();
    let line = line.lines().next().unwrap_or_default();
    let words = line.split(" (").next().unwrap_or_default();
    let version = words
        .split_whitespace()
        .last()
        .unwrap_or("of unknown version");
    format!("{program} {version}")
}

/// Processes that wanted a core in the last minute, on average.
#[must_use]
pub fn load() -> f64 {
    fs::read_to_string("/proc/loadavg")
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_benchmark_become_rows() {
        let section = tabulate(
            "HMAC (one): 12 pairs/s\nrefresh     345 /s   0.60 of HMAC alone\n\nmemory:   99 octets\n",
        );
        assert_eq!(
            section.rows,
            [
                ["HMAC (one)", "12 pairs/s"],
                ["refresh", "345 /s 0.60 of HMAC alone"],
                ["memory", "99 octets"]
            ]
        );
    }
}
