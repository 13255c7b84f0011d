use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mobility_protocol::home_agent::StoredLease;
use mobility_protocol::security::{Algorithm, Key, ReplayProtection, SecurityAssociation};
use mobility_protocol::wire::Identification;
use mobility_protocol::wire::mip6::SequenceNumber;
use mobility_protocol::{Identity, Reachability, Stamp, Transport};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::*;

/// A directory that goes when the test is over.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("binding-store-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join(FILE_NAME)
    }

    fn open(&self) -> BindingStore {
        BindingStore::open(&self.0).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn record(number: u32) -> StoredRecord {
    StoredRecord {
        identity: Identity::new(format!("node{number:06}@example.net")).unwrap(),
        association: Arc::new(SecurityAssociation {
            spi: 256,
            algorithm: Algorithm::HmacSha256,
            key: Key::new(b"a secret nobody may see").unwrap(),
            replay: ReplayProtection::Timestamps,
        }),
        last: Identification(u64::from(number) << 32).into(),
        lease: StoredLease::Bound {
            home_address: Ipv4Addr::from(0x0a80_0000 + number).into(),
            care_of: Ipv4Addr::new(198, 51, 100, 7).into(),
            reachability: Reachability::Unproven,
            transport: Transport::Udp { port: 40_000 },
            lifetime: Duration::from_secs(600),
            expires_at: Duration::from_nanos(1_767_225_600_123_456_789),
        },
        counted_at: Some(Ipv4Addr::new(198, 51, 100, 9).into()),
    }
}

fn put(number: u32) -> StoreChange {
    StoreChange::Put(record(number))
}

fn records(numbers: impl IntoIterator<Item = u32>) -> Vec<StoredRecord> {
    numbers.into_iter().map(record).collect()
}

/// What the same identity has in the other family.
fn record_of_ipv6(number: u32) -> StoredRecord {
    StoredRecord {
        last: Stamp {
            timestamp: None,
            sequence: Some(SequenceNumber(7)),
        },
        lease: StoredLease::Bound {
            home_address: Ipv6Addr::from(0x2001_0db8_0001_u128 << 80 | u128::from(number)).into(),
            care_of: Ipv6Addr::from(0x2001_0db8_0100_u128 << 80 | 0x10).into(),
            reachability: Reachability::Proven,
            transport: Transport::MobilityHeader,
            lifetime: Duration::from_secs(600),
            expires_at: Duration::from_nanos(1_767_225_600_123_456_789),
        },
        ..record(number)
    }
}

#[test]
fn an_identity_has_a_record_in_each_family() {
    let scratch = Scratch::new();
    let mut store = scratch.open();
    let ipv6 = || StoreChange::Put(record_of_ipv6(1));
    store.commit([put(1), ipv6(), put(2)]).unwrap();
    drop(store);
    let mut store = scratch.open();
    assert_eq!(
        store.load().unwrap(),
        [record(1), record(2), record_of_ipv6(1)]
    );
    store
        .commit([StoreChange::Delete(record(1).owner(), Family::Ipv4)])
        .unwrap();
    assert_eq!(store.load().unwrap(), [record(2), record_of_ipv6(1)]);
    store
        .commit([StoreChange::Delete(record(1).owner(), Family::Ipv6)])
        .unwrap();
    assert_eq!(store.load().unwrap(), [record(2)]);
}

#[test]
fn a_store_of_the_first_format_is_taken_over() {
    let scratch = Scratch::new();
    let database = Builder::new().create(scratch.file()).unwrap();
    let transaction = database.begin_write().unwrap();
    let octets = [
        &[1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0][..],
        &[4, 10, 0, 0, 1, 4, 198, 51, 100, 7],
        &600_000_000_000_u64.to_be_bytes(),
        &u64::MAX.to_be_bytes(),
    ]
    .concat();
    transaction
        .open_table(RECORDS[0].1)
        .unwrap()
        .insert(&b"laptop@example.net"[..], octets.as_slice())
        .unwrap();
    transaction
        .open_table(PROPERTIES)
        .unwrap()
        .insert(VERSION, 1)
        .unwrap();
    transaction.commit().unwrap();
    drop(database);

    let mut store = scratch.open();
    let records = store.load().unwrap();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].identity.as_bytes(), b"laptop@example.net");
    assert_eq!(records[0].last, Identification(9).into());
    store.commit([StoreChange::Put(record_of_ipv6(1))]).unwrap();
    drop(store);
    assert_eq!(scratch.open().load().unwrap().len(), 2);
}

#[test]
fn what_was_committed_is_there_after_a_restart() {
    let scratch = Scratch::new();
    let mut store = scratch.open();
    assert_eq!(store.load().unwrap(), []);
    store.commit((0..100).map(put)).unwrap();
    let released = StoredRecord {
        lease: StoredLease::Released {
            home_address: Ipv4Addr::new(10, 0, 0, 1).into(),
            held_until: None,
            forget_at: Duration::from_secs(9),
        },
        ..record(7)
    };
    store
        .commit([
            StoreChange::Put(released.clone()),
            StoreChange::Delete(record(8).owner(), Family::Ipv4),
        ])
        .unwrap();
    drop(store);
    let mut expected = records(0..100);
    expected[7] = released;
    expected.remove(8);
    assert_eq!(scratch.open().load().unwrap(), expected);
}

#[test]
fn a_commit_of_nothing_does_nothing() {
    let scratch = Scratch::new();
    let mut store = scratch.open();
    store
        .commit([StoreChange::Delete(record(1).owner(), Family::Ipv4)])
        .unwrap();
    store.commit([]).unwrap();
    assert_eq!(store.pending(), 0);
    assert_eq!(store.load().unwrap(), []);
}

#[test]
fn a_killed_process_leaves_what_it_committed() {
    let scratch = Scratch::new();
    let mut store = scratch.open();
    store.commit([put(1)]).unwrap();
    // What the kernel has of the file is what a killed process leaves; closing would tidy up first.
    let elsewhere = Scratch::new();
    fs::copy(scratch.file(), elsewhere.file()).unwrap();
    assert_eq!(elsewhere.open().load().unwrap(), records([1]));
}

#[test]
fn nobody_else_can_read_the_keys() {
    let scratch = Scratch::new();
    fs::write(scratch.file(), []).unwrap();
    fs::set_permissions(scratch.file(), Permissions::from_mode(0o644)).unwrap();
    let store = BindingStore::open(&scratch.0).unwrap();
    assert_eq!(
        fs::metadata(scratch.file()).unwrap().permissions().mode() & 0o777,
        0o600
    );
    drop(store);
    let below = scratch.0.join("a/b");
    let mut store = BindingStore::open(&below).unwrap();
    assert_eq!(
        fs::metadata(&below).unwrap().permissions().mode() & 0o777,
        0o700
    );
    assert_eq!(
        fs::metadata(below.join(FILE_NAME))
            .unwrap()
            .permissions()
            .mode()
            & 0o777,
        0o600
    );
    store.commit([put(1)]).unwrap();
    for text in [
        format!("{store:?}"),
        format!("{:?}", store.load().unwrap()),
        format!("{:?}", put(1)),
    ] {
        assert!(
            !text.contains("secret") && !text.contains("97, 32, 115") && !text.contains("612073"),
            "{text}"
        );
    }
}

#[test]
fn two_processes_do_not_share_a_store() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let error = BindingStore::open(&scratch.0).unwrap_err();
    assert!(matches!(error, StoreError::InUse(_)), "{error}");
    assert!(error.to_string().contains("running already"));
    drop(store);
    scratch.open();
}

#[test]
fn a_file_that_is_no_store_is_refused_and_left_alone() {
    let scratch = Scratch::new();
    for content in [&b"# a text file\n"[..], &[0; 8192], &[0xff; 100_000]] {
        fs::write(scratch.file(), content).unwrap();
        let error = BindingStore::open(&scratch.0).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
        assert!(error.to_string().contains(FILE_NAME), "{error}");
        assert_eq!(fs::read(scratch.file()).unwrap(), content);
    }
}

#[test]
fn a_store_of_a_newer_version_is_refused_and_left_alone() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let transaction = store.database.as_ref().unwrap().begin_write().unwrap();
    transaction
        .open_table(PROPERTIES)
        .unwrap()
        .insert(VERSION, FORMAT_VERSION + 1)
        .unwrap();
    transaction.commit().unwrap();
    drop(store);
    for _ in 0..2 {
        let error = BindingStore::open(&scratch.0).unwrap_err();
        assert!(
            matches!(error, StoreError::Newer { found: 5, .. }),
            "{error:?}"
        );
        assert!(error.to_string().contains("format 5"), "{error}");
    }
}

#[test]
fn a_record_that_makes_no_sense_is_named() {
    let scratch = Scratch::new();
    let mut store = scratch.open();
    store.commit((0..3).map(put)).unwrap();
    let transaction = store.database.as_ref().unwrap().begin_write().unwrap();
    transaction
        .open_table(RECORDS[0].1)
        .unwrap()
        .insert(&b"node000001@example.net"[..], &[9, 9][..])
        .unwrap();
    transaction.commit().unwrap();
    let error = store.load().unwrap_err().to_string();
    assert!(
        error.contains("node000001@example.net") && error.contains("version 9"),
        "{error}"
    );
}

#[test]
fn a_truncated_store_is_refused() {
    let scratch = Scratch::new();
    let mut store = scratch.open();
    store.commit((0..2000).map(put)).unwrap();
    drop(store);
    let whole = fs::read(scratch.file()).unwrap();
    for length in [1, 100, 4096, whole.len() / 2] {
        fs::write(scratch.file(), &whole[..length]).unwrap();
        let outcome = BindingStore::open(&scratch.0).and_then(|store| store.load());
        let error = outcome.unwrap_err();
        assert!(
            matches!(error, StoreError::Damaged { .. }),
            "{length}: {error:?}"
        );
    }
}

#[test]
fn a_flipped_octet_is_noticed_or_does_not_matter() {
    let scratch = Scratch::new();
    let mut store = scratch.open();
    store.commit((0..200).map(put)).unwrap();
    drop(store);
    let whole = fs::read(scratch.file()).unwrap();
    let mut noticed = 0;
    for offset in (0..whole.len()).step_by(1013) {
        let mut flipped = whole.clone();
        flipped[offset] ^= 0xff;
        fs::write(scratch.file(), &flipped).unwrap();
        match BindingStore::open(&scratch.0).and_then(|store| store.load()) {
            Ok(loaded) => assert_eq!(loaded, records(0..200), "octet {offset}"),
            Err(error) => {
                assert!(
                    matches!(error, StoreError::Damaged { .. }),
                    "octet {offset}: {error:?}"
                );
                noticed += 1;
            }
        }
    }
    assert!(noticed > 10, "{noticed}");
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let scratch = Scratch::new();
    fs::write(scratch.0.join("file"), []).unwrap();
    let error = BindingStore::open(&scratch.0.join("file/below")).unwrap_err();
    assert!(matches!(error, StoreError::File { .. }), "{error:?}");
    assert!(error.to_string().contains("file/below"), "{error}");
}

/// On a file system of its own with little room. The mount is in a mount namespace that only the
/// thread of this test is in.
#[test]
fn a_full_disk_costs_nothing_but_patience() {
    let scratch = Scratch::new();
    let directory = scratch.0.clone();
    let outcome = std::thread::spawn(move || {
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        let mounted = unshare(CloneFlags::CLONE_NEWNS)
            .and_then(|()| mount(None::<&str>, "/", None::<&str>, private, None::<&str>))
            .and_then(|()| {
                mount(
                    Some("full"),
                    &directory,
                    Some("tmpfs"),
                    MsFlags::empty(),
                    Some("size=8m"),
                )
            });
        if let Err(error) = mounted {
            eprintln!("SKIPPED: a small file system can't be mounted here: {error}");
            return;
        }
        fill(&directory);
    });
    outcome.join().unwrap();
}

fn fill(directory: &Path) {
    let mut store = BindingStore::open(directory).unwrap();
    store.commit((0..1000).map(put)).unwrap();
    let ballast = directory.join("ballast");
    let room = 8 << 20;
    let mut taken = vec![0_u8; room];
    while fs::write(&ballast, &taken).is_err() {
        taken.truncate(taken.len().saturating_sub(4096));
    }

    let mut number = 1000;
    let error = loop {
        if let Err(error) = store.commit((number..number + 1000).map(put)) {
            break error;
        }
        number += 1000;
        assert!(number < 1_000_000, "it never got full");
    };
    assert!(matches!(error, StoreError::Database { .. }), "{error:?}");
    // It stays full for a while.
    for attempt in 1..4 {
        let more = number + 1000 * attempt;
        store.commit((more..more + 1000).map(put)).unwrap_err();
        assert_eq!(store.pending(), 1000 * (attempt as usize + 1));
    }
    store
        .commit([StoreChange::Delete(record(3).owner(), Family::Ipv4)])
        .unwrap_err();

    fs::remove_file(&ballast).unwrap();
    store.commit([]).unwrap();
    assert_eq!(store.pending(), 0);
    let last = number + 4000;
    let expected = || records((0..last).filter(|number| *number != 3));
    assert_eq!(store.load().unwrap(), expected());
    store.commit([put(3)]).unwrap();
    drop(store);
    let store = BindingStore::open(directory).unwrap();
    assert_eq!(store.load().unwrap(), records(0..last));
}
