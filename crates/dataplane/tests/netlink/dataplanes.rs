//! What the daemons hold.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, TcpStream, UdpSocket};

use dataplane::home_agent::{self, HomeAgentDataplane};
use dataplane::mobile_node::{self, MobileNodeDataplane};
use dataplane::{BackendChoice, Carrier, Error};
use mobility_protocol::{DataplaneChange, HomeAddress};

use tokio::time::timeout;

use crate::mobile_node_routes::tunnel;
use crate::namespace::{
    ACCESS, CORRESPONDENT, HOME, OTHER, PATIENCE, ROUTER, attach, echo, eventually, ip, run,
    says_back, snapshot,
};

fn source_toward(address: Ipv4Addr) -> IpAddr {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect((address, 9)).unwrap();
    socket.local_addr().unwrap().ip()
}

fn in_user_space() -> mobile_node::Config {
    mobile_node::Config {
        backend: BackendChoice::Userspace,
        ..mobile_node::Config::default()
    }
}

fn install(home_address: Ipv4Addr, correspondents: &[Ipv4Addr]) -> DataplaneChange {
    DataplaneChange::Install(tunnel(home_address, correspondents))
}

#[test]
fn a_mobile_node_without_bindings_shows_no_trace() {
    run("no trace", || async {
        let _peer = attach();
        let before = snapshot();
        let mut dataplane = MobileNodeDataplane::start(in_user_space()).await.unwrap();
        assert_eq!(dataplane.backend().carrier, Carrier::Userspace);
        dataplane.settle().await.unwrap();
        assert_eq!(snapshot(), before);
        for _ in 0..3 {
            let begin = std::time::Instant::now();
            assert!(
                dataplane
                    .apply([install(HOME, &[CORRESPONDENT])])
                    .await
                    .is_empty()
            );
            eprintln!("the first tunnel stands after {:?}", begin.elapsed());
            assert_eq!(source_toward(CORRESPONDENT), HOME);
            let mut moved = tunnel(HOME, &[CORRESPONDENT]);
            moved.endpoints.local = Ipv4Addr::new(192, 0, 2, 11).into();
            let standing = snapshot();
            assert!(
                dataplane
                    .apply([DataplaneChange::Install(moved)])
                    .await
                    .is_empty()
            );
            assert_eq!(snapshot(), standing, "a move touches no route");
            let remove = DataplaneChange::Remove(HomeAddress::from(HOME));
            assert!(dataplane.apply([remove.clone(), remove]).await.is_empty());
            assert_eq!(source_toward(CORRESPONDENT), ACCESS);
            assert_eq!(snapshot(), before);
        }
        assert!(
            dataplane
                .apply([install(HOME, &[CORRESPONDENT])])
                .await
                .is_empty()
        );
        dataplane.shutdown().await.unwrap();
        assert_eq!(snapshot(), before);
    });
}

#[test]
fn a_session_survives_a_move() {
    run("a move", || async {
        let peer = attach();
        echo(&peer);
        let pool = "10.128.0.0/10".parse().unwrap();
        let (runtime, mut home_agent) = peer.run(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let config = home_agent::Config {
                backend: BackendChoice::Userspace,
                ..home_agent::Config::new(ROUTER, vec![pool])
            };
            let dataplane = runtime.block_on(HomeAgentDataplane::start(config)).unwrap();
            (runtime, dataplane)
        });
        let mut mobile_node = MobileNodeDataplane::start(in_user_space()).await.unwrap();
        let ends = |care_of: Ipv4Addr| {
            let mut here = tunnel(HOME, &[CORRESPONDENT]);
            here.endpoints.local = care_of.into();
            here.endpoints.remote = ROUTER.into();
            let mut there = here.clone();
            std::mem::swap(&mut there.endpoints.local, &mut there.endpoints.remote);
            [here, there].map(DataplaneChange::Install)
        };
        let [here, there] = ends(ACCESS);
        assert!(home_agent.apply([there]).is_empty());
        assert!(mobile_node.apply([here]).await.is_empty());

        let mut session = TcpStream::connect((CORRESPONDENT, 7)).unwrap();
        assert_eq!(session.local_addr().unwrap().ip(), HOME);
        says_back(&mut session);
        let home_address = HomeAddress::from(HOME);
        assert!(
            mobile_node
                .sockets()
                .usage(home_address)
                .await
                .unwrap()
                .in_use()
        );

        let next = Ipv4Addr::new(192, 0, 2, 11);
        ip(&format!("addr del {ACCESS}/24 dev wlan0"));
        ip(&format!("addr add {next}/24 dev wlan0"));
        ip(&format!("route replace default via {ROUTER}"));
        let [here, there] = ends(next);
        assert!(home_agent.apply([there]).is_empty());
        assert!(mobile_node.apply([here]).await.is_empty());
        says_back(&mut session);
        let carried = mobile_node.traffic(home_address).unwrap();
        assert!(carried.packets_in > 0 && carried.packets_out > 0);
        assert!(home_agent.traffic(home_address).unwrap().packets_in > 0);

        drop(session);
        let ended = timeout(PATIENCE, mobile_node.sockets().ended()).await;
        assert!(
            ended
                .unwrap()
                .unwrap()
                .home_addresses
                .contains(&home_address)
        );
        let remove = || [DataplaneChange::Remove(home_address)];
        assert!(mobile_node.apply(remove()).await.is_empty());
        assert!(home_agent.apply(remove()).is_empty());
        assert_eq!(home_agent.traffic(home_address), None);
        mobile_node.shutdown().await.unwrap();
        peer.run(move || runtime.block_on(home_agent.shutdown()))
            .unwrap();
    });
}

#[test]
fn one_refused_change_does_not_stop_the_others() {
    run("one refused", || async {
        let _peer = attach();
        let mut dataplane = MobileNodeDataplane::start(in_user_space()).await.unwrap();
        let second = Ipv4Addr::new(10, 128, 0, 10);
        let third = Ipv4Addr::new(10, 128, 0, 11);
        let failures = dataplane
            .apply([
                install(HOME, &[CORRESPONDENT]),
                install(second, &[CORRESPONDENT]),
                install(third, &[OTHER]),
            ])
            .await;
        assert_eq!(failures.len(), 1);
        assert_eq!(failures[0].home_address, HomeAddress::from(second));
        assert!(matches!(
            failures[0].error,
            Error::CorrespondentTaken { .. }
        ));
        assert_eq!(source_toward(CORRESPONDENT), HOME);
        assert_eq!(source_toward(OTHER), third);
        dataplane.shutdown().await.unwrap();
    });
}

#[test]
fn what_another_program_wipes_comes_back() {
    run("wiped", || async {
        let _peer = attach();
        let mut dataplane = MobileNodeDataplane::start(in_user_space()).await.unwrap();
        assert!(
            dataplane
                .apply([install(HOME, &[CORRESPONDENT])])
                .await
                .is_empty()
        );
        let standing = snapshot();
        for wipe in [
            "rule del pref 102",
            "rule del pref 103",
            "route flush table 4341",
            "route del unreachable default table 4340",
            "addr del 10.128.0.9/32 dev lo",
            "link set mn0 down",
            "link set lo down; link set lo up",
        ] {
            wipe.split(';').for_each(|command| drop(ip(command)));
            tokio::task::yield_now().await;
            eventually(wipe, || snapshot() == standing).await;
            assert_eq!(source_toward(CORRESPONDENT), HOME, "{wipe}");
        }
        let restored = dataplane
            .counters()
            .into_iter()
            .find(|(name, _)| *name == "routes_restored");
        assert!(restored.unwrap().1 >= 6);
        dataplane.shutdown().await.unwrap();
    });
}

#[test]
fn a_removed_device_comes_back_with_its_tunnels() {
    run("device removed", || async {
        let _peer = attach();
        let mut dataplane = MobileNodeDataplane::start(in_user_space()).await.unwrap();
        assert!(dataplane.is_running());
        assert!(
            dataplane
                .apply([install(HOME, &[CORRESPONDENT])])
                .await
                .is_empty()
        );
        assert!(dataplane.revive().await.is_empty());
        ip("link del mn0");
        eventually("the backend has ended", || !dataplane.is_running()).await;
        assert_eq!(source_toward(CORRESPONDENT), ACCESS);
        assert!(dataplane.revive().await.is_empty());
        assert!(dataplane.is_running());
        assert_eq!(source_toward(CORRESPONDENT), HOME);
        dataplane.shutdown().await.unwrap();
    });
}

#[test]
fn a_mobile_node_cleans_up_after_a_crash() {
    run("mobile node after a crash", || async {
        let _peer = attach();
        let before = snapshot();
        let mut crashed = MobileNodeDataplane::start(in_user_space()).await.unwrap();
        assert!(
            crashed
                .apply([install(HOME, &[CORRESPONDENT])])
                .await
                .is_empty()
        );
        drop(crashed);
        // A child that another test is just starting may hold a copy of the device until its exec.
        eventually("new sockets go plainly", || {
            source_toward(CORRESPONDENT) == ACCESS
        })
        .await;
        let session = UdpSocket::bind((HOME, 0)).unwrap();
        let mut next = MobileNodeDataplane::start(in_user_space()).await.unwrap();
        let addresses = next.monitor().local_addresses().await.unwrap();
        assert!(addresses.iter().all(|found| found.address != HOME));
        let waits = session.send_to(b"x", (CORRESPONDENT, 9)).unwrap_err();
        assert_eq!(waits.kind(), ErrorKind::HostUnreachable);
        next.settle().await.unwrap();
        assert_eq!(snapshot(), before);
        next.shutdown().await.unwrap();
    });
}

#[test]
fn a_home_agent_comes_and_goes() {
    run("home agent", || async {
        let _peer = attach();
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "0").unwrap();
        let before = snapshot();
        let config = home_agent::Config {
            backend: BackendChoice::Userspace,
            ..home_agent::Config::new(ACCESS, vec!["10.128.0.0/10".parse().unwrap()])
        };
        let mut dataplane = HomeAgentDataplane::start(config.clone()).await.unwrap();
        assert!(ip("route get 10.128.0.9").contains("dev cha0"));
        assert!(
            dataplane
                .apply([install(HOME, &[CORRESPONDENT])])
                .is_empty()
        );
        assert!(
            dataplane
                .apply([DataplaneChange::Remove(HOME.into())])
                .is_empty()
        );
        ip("route del 10.128.0.0/10 dev cha0");
        tokio::task::yield_now().await;
        let is_back = || ip("route show 10.128.0.0/10").contains("dev cha0");
        eventually("the pool's route is back", is_back).await;
        ip("link set cha0 down");
        tokio::task::yield_now().await;
        eventually("the device is up again", is_back).await;
        dataplane.shutdown().await.unwrap();
        assert_eq!(snapshot(), before);
        assert_eq!(
            std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap(),
            "0\n"
        );

        // Killed: the pool stays unreachable, and the next start takes it over.
        drop(HomeAgentDataplane::start(config.clone()).await.unwrap());
        eventually("the device has gone", || !ip("-o link").contains("cha0")).await;
        assert!(ip("route show 10.128.0.0/10").contains("unreachable"));
        HomeAgentDataplane::start(config)
            .await
            .unwrap()
            .shutdown()
            .await
            .unwrap();
        assert_eq!(snapshot(), before);
    });
}

#[test]
fn without_privileges_one_sentence_says_what_is_missing() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED privileges: only root has some to drop");
        return;
    }
    let status = std::process::Command::new("setpriv")
        .args(["--bounding-set=-net_admin,-net_raw", "--inh-caps=-all"])
        .arg(std::env::current_exe().unwrap())
        .args([
            "--ignored",
            "--exact",
            "dataplanes::start_without_privileges",
        ])
        .env("START_WITHOUT_PRIVILEGES", "1")
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
#[ignore = "the process without privileges"]
fn start_without_privileges() {
    if std::env::var_os("START_WITHOUT_PRIVILEGES").is_none() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let config = in_user_space();
    if let Err(Error::Privileges { missing }) = runtime.block_on(MobileNodeDataplane::start(config))
    {
        assert!(
            missing.contains("no CAP_NET_ADMIN, no CAP_NET_RAW"),
            "{missing}"
        );
    } else {
        panic!("it was not refused");
    }
}
