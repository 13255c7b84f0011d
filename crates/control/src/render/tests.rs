use std::net::IpAddr;

use super::*;
use crate::status::{Backend, Traffic};

fn ip(text: &str) -> Option<IpAddr> {
    Some(text.parse().unwrap())
}

fn binding() -> BindingStatus {
    BindingStatus {
        choa: ip("10.128.0.9"),
        care_of: ip("203.0.113.7"),
        care_of_port: None,
        cha: ip("192.0.2.1"),
        identity: "laptop@example.org".to_owned(),
        backend: Backend::Userspace,
        encapsulation: "ipip".to_owned(),
        state: BindingState::Active,
        reachability: None,
        expires_in: Some(598),
        correspondents: vec!["198.51.100.7".to_owned()],
        names: [("198.51.100.7".to_owned(), vec!["server.com".to_owned()])].into(),
        handovers: Some(2),
        traffic: Traffic {
            packets_in: 900,
            bytes_in: 1_234_567,
            packets_out: 450,
            bytes_out: 23_400,
        },
    }
}

fn chad_status() -> ChadStatus {
    ChadStatus {
        version: "0.1.0".to_owned(),
        uptime: 7_980,
        listen: vec!["192.0.2.1".parse().unwrap()],
        mode: "open".to_owned(),
        warnings: vec!["open mode, first form: proves nothing".to_owned()],
        pool: vec![PoolStatus {
            prefix: "10.128.0.0/30".to_owned(),
            size: 2,
            used: 1,
            held_down: 1,
        }],
        bindings: vec![binding()],
        counters: [
            ("requests_accepted", 3),
            ("drop_bad_checksum", 0),
            ("drop_not_a_correspondent", 12),
        ]
        .map(|(name, count)| (name.to_owned(), count))
        .into(),
        ..ChadStatus::default()
    }
}

#[test]
fn chad_on_a_wide_terminal() {
    let mut status = chad_status();
    status.bindings[0].reachability = Some(Reachability::Unproven);
    let shown = chad(&status, 150);
    let expected = "\
chad 0.1.0, up 2 h 13 min, userspace backend
listening on 192.0.2.1, open mode
! open mode, first form: proves nothing

Pool
  prefix         lent  resting  free
  10.128.0.0/30     1        1     0  exhausted

Bindings: 1
  CHoA        state             care-of address  identity                  expires                in                out  carried
  10.128.0.9  active, unproven  203.0.113.7      laptop@example.org  in 9 min 58 s  1.2 MB / 900 pkt  23.4 kB / 450 pkt  ipip userspace

Counters
  requests accepted                    3

Dropped, by reason
  not a correspondent                 12
";
    assert_eq!(shown, expected, "\n{shown}");
    status.bindings[0].reachability = Some(Reachability::Proven);
    let shown = chad(&status, 150);
    assert!(shown.contains("  active, proven  "), "\n{shown}");
}

#[test]
fn long_addresses_stand_below_each_other() {
    let mut status = chad_status();
    status.listen.push("2001:db8::1".parse().unwrap());
    let long = BindingStatus {
        choa: ip("2001:db8:1:0:9f3e:22ab:1c01:77d2"),
        care_of: ip("2001:db8:ffff:1234:5678:9abc:def0:1234"),
        cha: ip("2001:db8::1"),
        encapsulation: "ip6ip6".to_owned(),
        ..binding()
    };
    status.bindings.push(long.clone());
    let shown = chad(&status, 100);
    let expected = "\
Bindings: 2
  CHoA                                      state                     expires                 in
    care-of address                           carried                                        out
    identity
  10.128.0.9                                active              in 9 min 58 s   1.2 MB / 900 pkt
    203.0.113.7                               ipip userspace                   23.4 kB / 450 pkt
    laptop@example.org
  2001:db8:1:0:9f3e:22ab:1c01:77d2          active              in 9 min 58 s   1.2 MB / 900 pkt
    2001:db8:ffff:1234:5678:9abc:def0:1234    ip6ip6 userspace                 23.4 kB / 450 pkt
    laptop@example.org
";
    assert!(shown.contains(expected), "\n{shown}");
    assert!(
        shown.lines().all(|line| line.chars().count() <= 100),
        "\n{shown}"
    );

    let status = MnAgentStatus {
        bindings: vec![long],
        ..MnAgentStatus::default()
    };
    let shown = mn_agent(&status, 100);
    let expected = "\
Bindings: 1
  for         CHoA                                      state         expires                 in
                care-of address                                         moves                out
                CHA
  server.com  2001:db8:1:0:9f3e:22ab:1c01:77d2          active  in 9 min 58 s   1.2 MB / 900 pkt
                2001:db8:ffff:1234:5678:9abc:def0:1234                      2  23.4 kB / 450 pkt
                2001:db8::1
";
    assert!(shown.contains(expected), "\n{shown}");
}

#[test]
fn nothing_is_wider_than_a_narrow_terminal() {
    let shown = chad(&chad_status(), 46);
    assert!(
        shown.contains("  care-of address  203.0.113.7\n"),
        "{shown}"
    );
    assert!(
        shown.lines().all(|line| line.chars().count() <= 46),
        "{shown}"
    );
}

#[test]
fn mn_agent_says_for_whom_and_why_not() {
    let status = MnAgentStatus {
        version: "0.1.0".to_owned(),
        uptime: 59,
        identity: "laptop@example.org".to_owned(),
        care_of: ip("203.0.113.7"),
        interface: Some("wlan0".to_owned()),
        handovers: 1,
        chas: vec![ChaStatus {
            cha: ip("192.0.2.9"),
            names: vec!["other.example".to_owned()],
            state: "refused".to_owned(),
            reason: Some("code 130, insufficient resources".to_owned()),
        }],
        bindings: vec![binding()],
        ..MnAgentStatus::default()
    };
    let shown = mn_agent(&status, 140);
    for part in [
        "care-of address 203.0.113.7 on wlan0, 1 handover\n",
        "server.com",
        "code 130, insufficient resources",
    ] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
}

#[test]
fn json_is_the_contract() {
    let json = serde_json::to_value(chad_status()).unwrap();
    assert_eq!(json["backend"], "userspace");
    assert_eq!(
        json["pool"][0],
        serde_json::json!({"prefix": "10.128.0.0/30", "size": 2, "used": 1, "held_down": 1})
    );
    assert_eq!(json["counters"]["drop_not_a_correspondent"], 12);
    let binding = &json["bindings"][0];
    let expected = serde_json::json!({
        "choa": "10.128.0.9", "care_of": "203.0.113.7", "care_of_port": null, "cha": "192.0.2.1",
        "identity": "laptop@example.org", "backend": "userspace", "encapsulation": "ipip",
        "state": "active", "expires_in": 598, "correspondents": ["198.51.100.7"],
        "names": {"198.51.100.7": ["server.com"]}, "handovers": 2,
        "packets_in": 900, "bytes_in": 1_234_567, "packets_out": 450, "bytes_out": 23_400,
    });
    assert_eq!(binding, &expected);
    let back: ChadStatus = serde_json::from_value(json).unwrap();
    assert_eq!(back, chad_status());
}
