//! Unmodified programs on the machines of the lab.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::Write,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{LabError, Node, wait_for};

static STARTED: AtomicUsize = AtomicUsize::new(0);
static LOGS: Mutex<Vec<(String, PathBuf)>> = Mutex::new(Vec::new());

/// A program about to be run on a node.
pub struct Invocation {
    node: Node,
    program: OsString,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    with_stdin: bool,
    stdout_to: Option<PathBuf>,
}

impl Invocation {
    pub(crate) fn new(node: Node, program: &str) -> Self {
        Invocation {
            node,
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            with_stdin: false,
            stdout_to: None,
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.arguments.extend(
            arguments
                .into_iter()
                .map(|argument| argument.as_ref().to_owned()),
        );
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.environment
            .push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Keeps the program's standard input open for [`Process::write`].
    #[must_use]
    pub fn with_stdin(mut self) -> Self {
        self.with_stdin = true;
        self
    }

    /// Sends standard output to a file of the caller's choice.
    #[must_use]
    pub fn stdout_to(mut self, path: impl Into<PathBuf>) -> Self {
        self.stdout_to = Some(path.into());
        self
    }

    /// Starts the program. It is killed when the returned [`Process`] is dropped.
    pub fn start(self) -> Result<Process, LabError> {
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let program_name = Path::new(&self.program)
            .file_name()
            .unwrap_or(&self.program)
            .to_string_lossy()
            .into_owned();
        let name = format!("{program_name} on {}", self.node.name());
        let logs = self.node.directory().join("log");
        fs::create_dir_all(&logs).map_err(LabError::io(format!("make {}", logs.display())))?;
        let stdout = self
            .stdout_to
            .unwrap_or_else(|| logs.join(format!("{number:03}-{program_name}.out")));
        let stderr = logs.join(format!("{number:03}-{program_name}.err"));
        let create = |path: &Path| {
            File::create(path).map_err(LabError::io(format!("make {}", path.display())))
        };
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env("LC_ALL", "C.UTF-8")
            .env_remove("http_proxy")
            .env_remove("ALL_PROXY")
            .envs(self.environment)
            .stdin(if self.with_stdin {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stdout(create(&stdout)?)
            .stderr(create(&stderr)?);
        let mut logs = LOGS.lock().unwrap_or_else(PoisonError::into_inner);
        logs.push((name.clone(), stderr.clone()));
        drop(logs);
        let what = format!("start {name}");
        let mut child = self
            .node
            .run(move |_| command.spawn().map_err(LabError::io(what)))?;
        let stdin = child.stdin.take();
        Ok(Process {
            node: self.node,
            child,
            stdin,
            stdout,
            stderr,
            name,
            started: Instant::now(),
        })
    }

    /// Runs the program to its end, or kills it after `bound`.
    pub fn finish(self, bound: Duration) -> Result<Finished, LabError> {
        let mut process = self.start()?;
        process.finish(bound)
    }
}

/// A running program.
pub struct Process {
    node: Node,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: PathBuf,
    stderr: PathBuf,
    name: String,
    started: Instant,
}

/// A program that has ended.
#[derive(Debug)]
pub struct Finished {
    /// What it was.
    pub name: String,
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
    /// From start to end.
    pub took: Duration,
}

impl Finished {
    /// The exit code; a program killed by a signal has 128 plus its number.
    #[must_use]
    pub fn code(&self) -> i32 {
        self.status
            .code()
            .or(self.status.signal().map(|signal| 128 + signal))
            .unwrap_or(-1)
    }

    /// Itself, if the program succeeded, else an error with what it said.
    pub fn success(self) -> Result<Finished, LabError> {
        if self.status.success() {
            return Ok(self);
        }
        let said = self.stderr.trim();
        let said = if said.is_empty() {
            self.stdout.trim()
        } else {
            said
        };
        Err(LabError::Other(format!(
            "{} ended with {}: {said}",
            self.name,
            self.code()
        )))
    }
}

impl Process {
    /// The program's process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Standard output so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        read(&self.stdout)
    }

    /// Standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        read(&self.stderr)
    }

    /// Writes to standard input, which [`Invocation::with_stdin`] must have kept open.
    pub fn write(&mut self, text: &str) -> Result<(), LabError> {
        let Some(stdin) = &mut self.stdin else {
            return Err(LabError::Other(format!(
                "{} has no standard input",
                self.name
            )));
        };
        stdin
            .write_all(text.as_bytes())
            .and_then(|()| stdin.flush())
            .map_err(LabError::io(format!("write to {}", self.name)))
    }

    /// Closes standard input.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Whether the program is still there.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<(), LabError> {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap_or(i32::MAX));
        kill(pid, signal).map_err(LabError::errno(format!("send {signal} to {}", self.name)))
    }

    /// Waits until standard output satisfies `holds`, and returns it. The program's end is an error.
    pub fn wait_for_output(
        &mut self,
        what: &str,
        bound: Duration,
        holds: impl Fn(&str) -> bool,
    ) -> Result<String, LabError> {
        let awaited = format!("{what} from {}", self.name);
        wait_for(&awaited, bound, || {
            let text = read(&self.stdout);
            if holds(&text) {
                return Ok(Some(text));
            }
            match self.child.try_wait() {
                Ok(Some(status)) => {
                    let text = read(&self.stdout);
                    if holds(&text) {
                        return Ok(Some(text));
                    }
                    let said = read(&self.stderr);
                    Err(LabError::Other(format!(
                        "{} ended ({status}) before {what}: {}",
                        self.name,
                        said.trim()
                    )))
                }
                Ok(None) => Ok(None),
                Err(source) => Err(LabError::Io {
                    what: format!("wait for {}", self.name),
                    source,
                }),
            }
        })
    }

    /// Waits until standard error satisfies `holds`, and returns it.
    pub fn wait_for_stderr(
        &mut self,
        what: &str,
        bound: Duration,
        holds: impl Fn(&str) -> bool,
    ) -> Result<String, LabError> {
        let awaited = format!("{what} from {}", self.name);
        wait_for(&awaited, bound, || {
            let text = read(&self.stderr);
            if holds(&text) {
                return Ok(Some(text));
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(LabError::Other(format!(
                    "{} ended ({status}) before {what}: {}",
                    self.name,
                    text.trim()
                )));
            }
            Ok(None)
        })
    }

    /// Waits for the end. No end within `bound` is an error that tells what the program was doing.
    pub fn finish(&mut self, bound: Duration) -> Result<Finished, LabError> {
        let awaited = format!("the end of {}", self.name);
        let ended = wait_for(&awaited, bound, || {
            self.child
                .try_wait()
                .map_err(LabError::io(format!("wait for {}", self.name)))
        });
        let status = ended.map_err(|error| self.explain(error))?;
        Ok(Finished {
            name: self.name.clone(),
            status,
            stdout: read(&self.stdout),
            stderr: read(&self.stderr),
            took: self.started.elapsed(),
        })
    }

    /// Adds to an error where the program hangs and which sockets its machine has.
    fn explain(&self, error: LabError) -> LabError {
        let place = format!("/proc/{}", self.id());
        let line = |file: &str| {
            read(Path::new(&format!("{place}/{file}")))
                .trim()
                .to_owned()
        };
        let sockets = self.node.run(|_| {
            Command::new("ss")
                .args(["-Htanuo"])
                .output()
                .map_err(LabError::io("list sockets"))
        });
        let sockets = sockets.map_or_else(
            |error| error.to_string(),
            |output| String::from_utf8_lossy(&output.stdout).into_owned(),
        );
        LabError::Other(format!(
            "{error}; it is in {:?}, said {:?}, sockets:\n{sockets}",
            line("wchan"),
            self.stderr().trim()
        ))
    }

    /// Kills the program (SIGKILL) and waits until it is gone.
    pub fn kill(&mut self) -> Result<(), LabError> {
        self.child
            .kill()
            .map_err(LabError::io(format!("kill {}", self.name)))?;
        self.child
            .wait()
            .map_err(LabError::io(format!("wait for {}", self.name)))?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _reaped_already = self.child.wait();
    }
}

/// What every program started so far wrote to standard error: name and text, in order of their start.
#[must_use]
pub fn logs() -> Vec<(String, String)> {
    let logs = LOGS.lock().unwrap_or_else(PoisonError::into_inner).clone();
    logs.into_iter()
        .map(|(name, path)| (name, read(&path)))
        .collect()
}

fn read(path: &Path) -> String {
    fs::read(path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}
