//! One machine of the small internet: a thread with a network and a mount namespace of its own.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};

use crate::{
    LabError, Network,
    process::Invocation,
    sandbox::{self, MACHINE_ETC, ROOM},
};

type Job = Box<dyn FnOnce(&Network) + Send>;

/// A machine. Clones are handles to the same one; its namespaces go when the last handle and the last program
/// in it have gone.
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    directory: PathBuf,
    jobs: mpsc::Sender<Job>,
    network_namespace: File,
}

impl Node {
    /// Makes a machine with nothing but a loopback device that is up, private `/run`, `/sys` and `/etc`
    /// (resolver and hosts file of its own, the rest the machine's), and no name server.
    pub fn new(name: &str) -> Result<Node, LabError> {
        let directory = Path::new(ROOM).join(name);
        let (jobs, inbox) = mpsc::channel::<Job>();
        let (ready, started) = mpsc::channel();
        let place = directory.clone();
        thread::Builder::new()
            .name(format!("node {name}"))
            .spawn(move || {
                let begun = begin(&place);
                match begun {
                    Ok((network, namespace)) => {
                        let _creator_gone = ready.send(Ok(namespace));
                        while let Ok(job) = inbox.recv() {
                            job(&network);
                        }
                    }
                    Err(error) => {
                        let _creator_gone = ready.send(Err(error));
                    }
                }
            })
            .map_err(LabError::io(format!("start the thread of node {name}")))?;
        let network_namespace = started
            .recv()
            .map_err(|_| LabError::NodeGone(name.to_owned()))??;
        Ok(Node {
            inner: Arc::new(Inner {
                name: name.to_owned(),
                directory,
                jobs,
                network_namespace,
            }),
        })
    }

    /// The machine's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// A directory for this machine's files, at the same path inside and outside of its namespaces.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.inner.directory
    }

    /// The machine's network namespace, as a file.
    #[must_use]
    pub fn network_namespace(&self) -> &File {
        &self.inner.network_namespace
    }

    /// Runs `job` on the machine: sockets it opens, files it reads, threads and programs it starts belong there.
    pub fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Network) -> Result<T, LabError> + Send + 'static,
    ) -> Result<T, LabError> {
        let (answer, answered) = mpsc::channel();
        let gone = || LabError::NodeGone(self.inner.name.clone());
        self.inner
            .jobs
            .send(Box::new(move |network| {
                let _asker_gone = answer.send(job(network));
            }))
            .map_err(|_| gone())?;
        answered.recv().map_err(|_| gone())?
    }

    /// An unmodified program to run on the machine.
    #[must_use]
    pub fn program(&self, program: &str) -> Invocation {
        Invocation::new(self.clone(), program)
    }

    /// Writes a sysctl, `path` as under /proc/sys with slashes.
    pub fn sysctl(&self, path: &str, value: &str) -> Result<(), LabError> {
        let (path, value) = (format!("/proc/sys/{path}"), value.to_owned());
        self.run(move |_| {
            fs::write(&path, &value).map_err(LabError::io(format!("write {value} to {path}")))
        })
    }

    /// What the machine's /etc/resolv.conf says now.
    pub fn resolv_conf(&self) -> Result<String, LabError> {
        self.run(|_| {
            fs::read_to_string("/etc/resolv.conf").map_err(LabError::io("read /etc/resolv.conf"))
        })
    }

    /// Replaces /etc/resolv.conf by rename, as DHCP clients do.
    pub fn write_resolv_conf(&self, text: &str) -> Result<(), LabError> {
        let text = text.to_owned();
        self.run(move |_| {
            fs::write("/etc/resolv.conf.dhclient-new", &text)
                .map_err(LabError::io("write resolv.conf.dhclient-new"))?;
            fs::rename("/etc/resolv.conf.dhclient-new", "/etc/resolv.conf")
                .map_err(LabError::io("rename resolv.conf"))
        })
    }
}

fn begin(directory: &Path) -> Result<(Network, File), LabError> {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)
        .map_err(LabError::errno("unshare the node's namespaces"))?;
    furnish(directory)?;
    // The lab's addresses are its own choice: only laptops look for others who might have them.
    let detection = "/proc/sys/net/ipv6/conf/default/accept_dad";
    fs::write(detection, "0").map_err(LabError::io(format!("write 0 to {detection}")))?;
    let network = Network::open()?;
    network.up("lo")?;
    let namespace = File::open("/proc/thread-self/ns/net")
        .map_err(LabError::io("open the node's network namespace"))?;
    Ok((network, namespace))
}

fn furnish(directory: &Path) -> Result<(), LabError> {
    let make = |path: &Path| {
        fs::create_dir_all(path).map_err(LabError::io(format!("make {}", path.display())))
    };
    let (etc, run) = (directory.join("etc"), directory.join("run"));
    make(&etc)?;
    furnish_etc(&etc)?;
    make(&run.join("lab"))?;
    make(&run.join("sshd"))?;
    let nothing = None::<&str>;
    // Without this the other nodes would see the mounts below.
    mount(
        nothing,
        "/",
        nothing,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        nothing,
    )
    .map_err(LabError::errno("make the node's mounts private"))?;
    sandbox::bind(&etc, Path::new("/etc"))?;
    sandbox::bind(Path::new(ROOM), &run.join("lab"))?;
    sandbox::bind(&run, Path::new("/run"))?;
    // Some containers forbid a new sysfs; then programs see the outer one, which no story relies on.
    let _outer_sysfs_stays = mount(
        Some("sysfs"),
        "/sys",
        Some("sysfs"),
        MsFlags::empty(),
        nothing,
    );
    Ok(())
}

/// Fills `etc` with links to the machine's files, except for those that a story may change or depend on.
fn furnish_etc(etc: &Path) -> Result<(), LabError> {
    const OWN: [(&str, &str); 4] = [
        ("resolv.conf", "# no name server yet\n"),
        ("hosts", "127.0.0.1 localhost\n"),
        (
            "nsswitch.conf",
            "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n",
        ),
        (
            "shadow",
            "root:*:19000:0:99999:7:::\nsshd:*:19000:0:99999:7:::\n",
        ),
    ];
    for entry in fs::read_dir(MACHINE_ETC).map_err(LabError::io("list /etc"))? {
        let name = entry.map_err(LabError::io("list /etc"))?.file_name();
        if !OWN.iter().any(|(own, _)| name == *own) {
            let _name_taken =
                std::os::unix::fs::symlink(Path::new(MACHINE_ETC).join(&name), etc.join(&name));
        }
    }
    for (name, text) in OWN {
        fs::write(etc.join(name), text).map_err(LabError::io(format!("write {name}")))?;
    }
    Ok(())
}
