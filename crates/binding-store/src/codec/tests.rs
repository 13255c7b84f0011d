use mobility_protocol::security::{FIRST_AGREED_SPI, ReplayProtection};
use proptest::prelude::*;

use super::*;

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<Ipv4Addr>().prop_map(IpAddr::V4),
        any::<Ipv6Addr>().prop_map(IpAddr::V6)
    ]
}

fn time() -> impl Strategy<Value = Duration> {
    any::<u64>().prop_map(Duration::from_nanos)
}

fn transport() -> impl Strategy<Value = Transport> {
    prop_oneof![
        any::<u16>().prop_map(|port| Transport::Udp { port }),
        Just(Transport::MobilityHeader)
    ]
}

fn lease() -> impl Strategy<Value = StoredLease> {
    let bound = (
        address(),
        address(),
        any::<bool>(),
        transport(),
        time(),
        time(),
    )
        .prop_map(|(home, care_of, proven, transport, lifetime, expires_at)| {
            StoredLease::Bound {
                home_address: home.into(),
                care_of: care_of.into(),
                reachability: match proven {
                    true => Reachability::Proven,
                    false => Reachability::Unproven,
                },
                transport,
                lifetime,
                expires_at,
            }
        });
    let released =
        (address(), prop::option::of(time()), time()).prop_map(|(home, held_until, forget_at)| {
            StoredLease::Released {
                home_address: home.into(),
                held_until,
                forget_at,
            }
        });
    prop_oneof![bound, released]
}

fn association() -> impl Strategy<Value = SecurityAssociation> {
    let own = (
        any::<u32>(),
        prop::sample::select(&Algorithm::ALL),
        prop::collection::vec(any::<u8>(), 1..64),
    );
    prop_oneof![
        Just(SecurityAssociation::open_mode()),
        own.prop_map(|(spi, algorithm, key)| SecurityAssociation {
            spi,
            algorithm,
            key: Key::new(key).unwrap(),
            replay: ReplayProtection::Timestamps,
        }),
    ]
}

proptest! {
    #[test]
    fn records_survive(
        identity in prop::collection::vec(any::<u8>(), 1..255),
        association in association(),
        timestamp: Option<u64>,
        sequence: Option<u16>,
        lease in lease(),
        counted_at in prop::option::of(address()),
    ) {
        let record = StoredRecord {
            identity: Identity::new(&identity).unwrap(),
            association: Arc::new(association),
            last: Stamp {
                timestamp: timestamp.map(Identification),
                sequence: sequence.map(SequenceNumber),
            },
            lease,
            counted_at: counted_at.map(Into::into),
        };
        let octets = encode(&record);
        let key = record.association.key.as_bytes().len();
        prop_assert!(octets.len() <= MOST_BUT_KEY + key, "no copy is left behind");
        prop_assert_eq!(decode(&identity, &octets), Ok(record));
        for end in 0..octets.len() {
            prop_assert_eq!(decode(&identity, &octets[..end]), Err(CodecError::Truncated));
        }
    }

    #[test]
    fn anything_may_be_on_a_disk(octets in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = decode(b"a", &octets);
        let _ = decode(b"", &[&[VERSION], octets.as_slice()].concat());
        let _ = decode(b"a", &[&[WITHOUT_COUNT], octets.as_slice()].concat());
        let _ = decode(b"a", &[&[WITHOUT_REACHABILITY], octets.as_slice()].concat());
        let _ = decode(b"a", &[&[IPV4_ONLY], octets.as_slice()].concat());
    }
}

#[test]
fn an_open_binding_takes_few_octets() {
    let record = StoredRecord {
        identity: Identity::new("a").unwrap(),
        association: Arc::new(SecurityAssociation::open_mode()),
        last: Identification(1).into(),
        lease: StoredLease::Bound {
            home_address: Ipv4Addr::LOCALHOST.into(),
            care_of: Ipv4Addr::LOCALHOST.into(),
            reachability: Reachability::Proven,
            transport: Transport::Udp { port: 434 },
            lifetime: Duration::from_secs(1),
            expires_at: Duration::from_secs(2),
        },
        counted_at: None,
    };
    assert_eq!(encode(&record).len(), 43);
}

#[test]
fn strangers_of_records_without_a_count_are_counted_where_they_are() {
    let care_of = Ipv4Addr::new(198, 51, 100, 7);
    for (spi, counted_at) in [(FIRST_AGREED_SPI, Some(care_of.into())), (256, None)] {
        let association = SecurityAssociation {
            spi,
            algorithm: Algorithm::HmacSha256,
            key: Key::new([7; 32]).unwrap(),
            replay: ReplayProtection::Timestamps,
        };
        let record = StoredRecord {
            identity: Identity::new("a").unwrap(),
            association: Arc::new(association),
            last: Identification(1).into(),
            lease: StoredLease::Bound {
                home_address: Ipv4Addr::LOCALHOST.into(),
                care_of: care_of.into(),
                reachability: Reachability::Proven,
                transport: Transport::Udp { port: 434 },
                lifetime: Duration::from_secs(1),
                expires_at: Duration::from_secs(2),
            },
            counted_at: None,
        };
        let mut octets = encode(&record);
        octets[0] = WITHOUT_COUNT;
        octets.pop();
        assert_eq!(decode(b"a", &octets).unwrap().counted_at, counted_at);
    }
}

#[test]
fn records_of_the_first_version_are_read() {
    let bound = [
        &[1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0][..],
        &[4, 10, 0, 0, 1, 4, 198, 51, 100, 7],
        &1_000_u64.to_be_bytes(),
        &2_000_u64.to_be_bytes(),
    ]
    .concat();
    let record = decode(b"a", &bound).unwrap();
    assert_eq!(record.last, Identification(9).into());
    assert_eq!(
        record.lease,
        StoredLease::Bound {
            home_address: Ipv4Addr::new(10, 0, 0, 1).into(),
            care_of: Ipv4Addr::new(198, 51, 100, 7).into(),
            reachability: Reachability::Proven,
            transport: Transport::Udp { port: 434 },
            lifetime: Duration::from_nanos(1_000),
            expires_at: Duration::from_nanos(2_000),
        }
    );
    let released = [
        &[1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1][..],
        &[4, 10, 0, 0, 1, 0],
        &3_000_u64.to_be_bytes(),
    ]
    .concat();
    assert!(matches!(
        decode(b"a", &released).unwrap().lease,
        StoredLease::Released {
            held_until: None,
            ..
        }
    ));
}
