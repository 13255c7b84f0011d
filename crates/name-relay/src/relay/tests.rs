//! The relay in `resolv.conf`, at a port that needs no privilege.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::*;

const ORIGINAL: &str = "nameserver 127.0.0.1\n";
const PATIENCE: Duration = Duration::from_secs(5);

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("name-relay-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("resolv.conf"), ORIGINAL).unwrap();
        Self(folder)
    }

    fn text(&self) -> String {
        fs::read_to_string(self.0.join("resolv.conf")).unwrap()
    }

    fn config(&self) -> RelayConfig {
        RelayConfig {
            listen: "127.0.0.153:0".parse().unwrap(),
            resolv_conf: self.0.join("resolv.conf"),
            state_dir: self.0.join("state"),
            ..RelayConfig::default()
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _best_effort = fs::remove_dir_all(&self.0);
    }
}

fn reports() -> mpsc::Sender<Report> {
    mpsc::channel(1).0
}

fn query() -> Vec<u8> {
    let mut bytes = vec![7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    bytes.extend(b"\x01a\x07example\x00\x00\x10\x00\x01");
    bytes
}

#[tokio::test]
async fn shutdown_restores_the_file() {
    let folder = Folder::new("shutdown");
    let relay = Relay::launch(folder.config(), reports()).unwrap();
    assert!(folder.text().contains("nameserver 127.0.0.153"));
    assert_eq!(relay.upstream(), ["127.0.0.1:53".parse().unwrap()]);
    relay.shutdown().await.unwrap();
    assert_eq!(folder.text(), ORIGINAL);
}

#[test]
fn the_end_of_the_runtime_restores_the_file() {
    let folder = Folder::new("runtime");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let relay = runtime.block_on(async { Relay::launch(folder.config(), reports()) });
    assert!(folder.text().contains("nameserver 127.0.0.153"));
    drop(runtime);
    assert_eq!(folder.text(), ORIGINAL);
    drop(relay);
}

#[tokio::test]
async fn a_failed_start_leaves_nothing_behind() {
    let folder = Folder::new("failed");
    let first = Relay::launch(folder.config(), reports()).unwrap();
    let config = RelayConfig {
        listen: first.local_addr(),
        ..folder.config()
    };
    let written = folder.text();
    assert!(matches!(
        Relay::launch(config, reports()),
        Err(Error::Listen { .. })
    ));
    assert_eq!(folder.text(), written);
    first.shutdown().await.unwrap();

    let missing = RelayConfig {
        resolv_conf: folder.0.join("no/such/resolv.conf"),
        ..folder.config()
    };
    assert!(matches!(
        Relay::launch(missing, reports()),
        Err(Error::ResolvConf { .. })
    ));
}

#[tokio::test]
async fn configured_name_servers_stay_whatever_the_file_says() {
    let folder = Folder::new("override");
    let upstream = vec!["127.0.0.1:5399".parse().unwrap()];
    let config = RelayConfig {
        upstream: upstream.clone(),
        ..folder.config()
    };
    let relay = Relay::launch(config, reports()).unwrap();
    assert_eq!(relay.upstream(), upstream);
    fs::write(folder.0.join("resolv.conf"), "nameserver 192.0.2.9\n").unwrap();
    let written = async {
        while !folder.text().contains("nameserver 127.0.0.153") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, written).await.unwrap();
    assert_eq!(relay.upstream(), upstream);
    relay.shutdown().await.unwrap();
    assert_eq!(folder.text(), "nameserver 192.0.2.9\n");
}

/// Name servers in a network namespace of the test's own: port 53 is free
/// there, and the relay listens on its default address.
#[test]
fn a_query_that_is_pending_goes_to_the_new_name_server() {
    let skipped = std::thread::spawn(|| {
        if let Err(error) = nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET) {
            return Some(error);
        }
        let up = std::process::Command::new("ip")
            .args(["link", "set", "lo", "up"])
            .status();
        if !up.is_ok_and(|status| status.success()) {
            return Some(nix::errno::Errno::ENOENT);
        }
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(moved());
        None
    })
    .join()
    .unwrap();
    if let Some(error) = skipped {
        eprintln!(
            "SKIPPED a_query_that_is_pending_goes_to_the_new_name_server: \
             no network namespace ({error})"
        );
    }
}

async fn moved() {
    let folder = Folder::new("moved");
    fs::write(folder.0.join("resolv.conf"), "nameserver 127.0.0.2\n").unwrap();
    let old = UdpSocket::bind("127.0.0.2:53").await.unwrap();
    let new = Arc::new(UdpSocket::bind("127.0.0.3:53").await.unwrap());
    let config = RelayConfig {
        listen: crate::DEFAULT_LISTEN,
        fwmark: Some(0x4348_4100),
        ..folder.config()
    };
    let relay = Relay::start(config, reports()).unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.send_to(&query(), relay.local_addr()).await.unwrap();
    let mut buffer = [0; 512];
    timeout(PATIENCE, old.recv(&mut buffer))
        .await
        .unwrap()
        .unwrap();

    fs::write(folder.0.join("resolv.conf"), "nameserver 127.0.0.3\n").unwrap();
    let (length, relay_socket) = timeout(PATIENCE, new.recv_from(&mut buffer))
        .await
        .expect("the pending query arrives at the new name server")
        .unwrap();
    assert_eq!(buffer[2..length], query()[2..]);
    buffer[2] |= 0x80;
    new.send_to(&buffer[..length], relay_socket).await.unwrap();
    let length = timeout(PATIENCE, client.recv(&mut buffer))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(buffer[..2], [7, 7]);
    assert_eq!(length, query().len());
    relay.shutdown().await.unwrap();
    assert_eq!(folder.text(), "nameserver 127.0.0.3\n");
}
