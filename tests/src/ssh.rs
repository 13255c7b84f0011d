//! An OpenSSH server on a node, and sessions to it.

use std::{fs, net::Ipv4Addr, path::PathBuf, time::Duration};

use crate::{Family, LabError, Node, Process, stretched, wait_for};

const START: Duration = Duration::from_secs(10);
/// Until a session is open: cryptography takes its time where the processor is emulated.
const OPEN: Duration = Duration::from_secs(30);

/// A running sshd with a host key and one user's key made for it.
pub struct SshServer {
    _sshd: Process,
    key: PathBuf,
    known_hosts: PathBuf,
}

impl SshServer {
    /// Starts sshd on port 22 of `node`, for root with a fresh key.
    pub fn start(node: &Node) -> Result<SshServer, LabError> {
        let home = node.directory().join("ssh");
        fs::create_dir_all(&home).map_err(LabError::io("make the ssh directory"))?;
        let key = home.join("user_key");
        for name in ["host_key", "user_key"] {
            node.program("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(home.join(name))
                .finish(START)?
                .success()?;
        }
        let read = |name: &str| {
            fs::read_to_string(home.join(name)).map_err(LabError::io(format!("read {name}")))
        };
        let write = |name: &str, text: String| {
            fs::write(home.join(name), text).map_err(LabError::io(format!("write {name}")))
        };
        write("authorized_keys", read("user_key.pub")?)?;
        write("known_hosts", format!("server {}", read("host_key.pub")?))?;
        let place = home.display();
        write(
            "sshd_config",
            format!(
                "Port 22\nHostKey {place}/host_key\nAuthorizedKeysFile {place}/authorized_keys\n\
                 PidFile none\nUsePAM no\nStrictModes no\nUseDNS no\nPermitRootLogin yes\nPasswordAuthentication no\n\
                 PermitUserRC no\nPrintMotd no\nKexAlgorithms curve25519-sha256\n"
            ),
        )?;
        let sshd = node
            .program("/usr/sbin/sshd")
            .args(["-D", "-e", "-f"])
            .arg(home.join("sshd_config"))
            .start()?;
        let probe = node.clone();
        wait_for("sshd to listen", START, || {
            probe.run(|_| Ok(std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, 22)).ok()))
        })?;
        Ok(SshServer {
            _sshd: sshd,
            key,
            known_hosts: home.join("known_hosts"),
        })
    }

    /// Opens a session from `node` to `host` that says each line back, before the addresses of the connection as
    /// the server sees them.
    pub fn session(&self, node: &Node, host: &str) -> Result<SshSession, LabError> {
        let program = "echo open; while read -r line; do echo \"$line from $SSH_CONNECTION\"; done";
        let mut ssh = node
            .program("ssh")
            .args([
                "-F",
                "none",
                "-T",
                Family::of_this_story().option(),
                "-l",
                "root",
                "-o",
                "BatchMode=yes",
                "-o",
                &format!("ConnectTimeout={}", stretched(OPEN).as_secs()),
            ])
            .args([
                "-o",
                "HostKeyAlias=server",
                "-o",
                "IdentitiesOnly=yes",
                "-o",
                "GlobalKnownHostsFile=none",
                "-i",
            ])
            .arg(&self.key)
            .arg("-o")
            .arg(format!("UserKnownHostsFile={}", self.known_hosts.display()))
            .arg(host)
            .arg(program)
            .with_stdin()
            .start()?;
        ssh.wait_for_output("the session", OPEN, |text| text.starts_with("open\n"))?;
        Ok(SshSession { ssh, said: 0 })
    }
}

/// A session that is held open.
pub struct SshSession {
    ssh: Process,
    said: usize,
}

impl SshSession {
    /// Says a word and waits for the server to say it back; gives the client's address as the server sees it.
    pub fn say(&mut self, bound: Duration) -> Result<String, LabError> {
        self.said += 1;
        let word = format!("word-{}", self.said);
        self.ssh.write(&format!("{word}\n"))?;
        self.hear(bound)
    }

    /// Sends a word without waiting.
    pub fn whisper(&mut self) -> Result<(), LabError> {
        self.said += 1;
        let word = format!("word-{}", self.said);
        self.ssh.write(&format!("{word}\n"))
    }

    /// Waits for the server to say the last word back.
    pub fn hear(&mut self, bound: Duration) -> Result<String, LabError> {
        let beginning = format!("word-{} from ", self.said);
        let complete = |text: &str| -> Option<String> {
            text.split_inclusive('\n')
                .filter(|line| line.ends_with('\n'))
                .find_map(|line| line.strip_prefix(&beginning))
                .and_then(|rest| rest.split(' ').next())
                .map(str::to_owned)
        };
        let text = self
            .ssh
            .wait_for_output("the echo", bound, |text| complete(text).is_some())?;
        complete(&text).ok_or_else(|| LabError::Other("the echo vanished".to_owned()))
    }

    /// Whether the session is still open.
    pub fn is_open(&mut self) -> bool {
        self.ssh.is_running()
    }

    /// Ends the session properly.
    pub fn close(&mut self, bound: Duration) -> Result<(), LabError> {
        self.ssh.close_stdin();
        self.ssh.finish(bound)?.success()?;
        Ok(())
    }
}
