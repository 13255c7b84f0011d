use super::*;
use proptest::prelude::*;

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn encoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name(text).iter() {
        bytes.push(label.len().try_into().unwrap());
        bytes.extend(label);
    }
    bytes.push(0);
    bytes
}

fn query(text: &str, kind: RecordType) -> Vec<u8> {
    let mut bytes = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    bytes.extend(encoded(text));
    bytes.extend(u16::from(kind).to_be_bytes());
    bytes.extend([0, 1]);
    bytes
}

fn answer(records: &[Vec<u8>]) -> Vec<u8> {
    answer_to(RecordType::A, records)
}

fn answer_to(kind: RecordType, records: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = query("www.example", kind);
    bytes[2] |= FLAG_RESPONSE;
    bytes[7] = records.len().try_into().unwrap();
    bytes.extend(records.concat());
    bytes
}

fn record(owner: &str, kind: RecordType, data: &[u8]) -> Vec<u8> {
    let mut bytes = encoded(owner);
    bytes.extend(u16::from(kind).to_be_bytes());
    bytes.extend([0, 1, 0, 0, 0, 60]);
    bytes.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
    bytes.extend(data);
    bytes
}

#[test]
fn only_address_questions_of_the_internet_lead_to_agents() {
    let plain = Query::parse(&query("Www.example", RecordType::A)).unwrap();
    assert_eq!(
        plain.address_question(),
        Some((&name("www.example."), Family::Ipv4))
    );
    let ipv6 = Query::parse(&query("www.example", RecordType::AAAA)).unwrap();
    assert_eq!(
        ipv6.address_question(),
        Some((&name("www.example."), Family::Ipv6))
    );
    for kind in [RecordType::HTTPS, RecordType::ANY, RecordType::TXT] {
        let other = Query::parse(&query("www.example", kind)).unwrap();
        assert_eq!(other.address_question(), None, "{kind}");
    }
    let mut update = query("www.example", RecordType::A);
    update[2] = 5 << 3;
    assert_eq!(Query::parse(&update).unwrap().address_question(), None);
    let mut chaos = query("www.example", RecordType::A);
    *chaos.last_mut().unwrap() = 3;
    assert_eq!(Query::parse(&chaos).unwrap().address_question(), None);
}

#[test]
fn an_answer_must_have_the_id_and_the_question() {
    let query = Query::parse(&query("www.example", RecordType::A)).unwrap();
    let sent = query.with_id(0xbeef);
    let mut good = sent.clone();
    good[2] |= FLAG_RESPONSE;
    let accept = |mut bytes: Vec<u8>| query.accept(&mut bytes, 0xbeef).map(|()| bytes);

    let accepted = accept(good.clone()).unwrap();
    assert_eq!(accepted[..2], [0x12, 0x34], "the asker's id is back");
    assert_eq!(accepted[2..], good[2..]);

    let mut other_case = good.clone();
    other_case[13] = b'W';
    assert!(accept(other_case).is_ok(), "RFC 4343");

    assert_eq!(accept(sent), Err(AnswerError::Malformed), "a query");
    for (at, what) in [(0, "id"), (14, "name"), (26, "type"), (28, "class")] {
        let mut bad = good.clone();
        bad[at] ^= 0x02;
        assert_eq!(accept(bad), Err(AnswerError::Spoofed), "{what}");
    }
    let mut no_question = good[..12].to_vec();
    no_question[5] = 0;
    assert_eq!(accept(no_question.clone()), Err(AnswerError::Spoofed));
    no_question[3] = 1; // FORMERR
    assert!(accept(no_question).is_ok());
    assert_eq!(accept(good[..15].to_vec()), Err(AnswerError::Malformed));
}

#[test]
fn addresses_are_found_through_aliases_and_nowhere_else() {
    let found = addresses(&answer(&[
        record("other.example", RecordType::A, &[203, 0, 113, 1]),
        record("www.example", RecordType::CNAME, &encoded("a.example")),
        record("b.example", RecordType::A, &[192, 0, 2, 2]),
        record("b.example", RecordType::RRSIG, &[1, 2, 3]),
        record("a.example", RecordType::CNAME, &encoded("B.example")),
        record("B.EXAMPLE", RecordType::A, &[192, 0, 2, 1]),
        record("b.example", RecordType::A, &[192, 0, 2, 2]),
        record("b.example", RecordType::A, &[192, 0, 2]),
    ]));
    assert_eq!(
        found,
        [IpAddr::from([192, 0, 2, 2]), IpAddr::from([192, 0, 2, 1])]
    );
}

#[test]
fn addresses_that_block_or_loop_are_no_correspondents() {
    let found = addresses(&answer(&[
        record("www.example", RecordType::A, &[0, 0, 0, 0]),
        record("www.example", RecordType::A, &[127, 0, 0, 1]),
        record("www.example", RecordType::A, &[224, 0, 0, 1]),
        record("www.example", RecordType::A, &[255, 255, 255, 255]),
    ]));
    assert_eq!(found, [] as [IpAddr; 0]);
}

#[test]
fn an_answer_gives_the_family_it_was_asked_for() {
    let usable: Ipv6Addr = "2001:db8::1".parse().unwrap();
    let unusable = [
        "::",
        "::1",
        "::ffff:192.0.2.1",
        "64:ff9b::192.0.2.1",
        "fe80::1",
        "ff02::1",
    ];
    let mut records = vec![record("www.example", RecordType::A, &[192, 0, 2, 1])];
    for address in unusable {
        let address: Ipv6Addr = address.parse().unwrap();
        records.push(record("www.example", RecordType::AAAA, &address.octets()));
    }
    records.push(record("www.example", RecordType::AAAA, &usable.octets()));
    records.push(record("www.example", RecordType::AAAA, &[1, 2, 3, 4]));
    assert_eq!(addresses(&answer(&records)), [IpAddr::from([192, 0, 2, 1])]);
    assert_eq!(
        addresses(&answer_to(RecordType::AAAA, &records)),
        [IpAddr::from(usable)]
    );
    let any = answer_to(RecordType::ANY, &records);
    assert_eq!(addresses(&any), [] as [IpAddr; 0], "asks for no family");
}

#[test]
fn circular_aliases_end() {
    let found = addresses(&answer(&[
        record("www.example", RecordType::CNAME, &encoded("a.example")),
        record("a.example", RecordType::CNAME, &encoded("www.example")),
    ]));
    assert_eq!(found, [] as [IpAddr; 0]);
}

#[test]
fn errors_and_truncated_answers_give_no_addresses() {
    let good = answer(&[record("www.example", RecordType::A, &[192, 0, 2, 1])]);
    assert_eq!(addresses(&good).len(), 1);
    let mut truncated = good.clone();
    truncated[2] |= FLAG_TRUNCATED;
    assert_eq!(addresses(&truncated), [] as [IpAddr; 0]);
    let mut refused = good.clone();
    refused[3] = ResponseCode::REFUSED;
    assert_eq!(addresses(&refused), [] as [IpAddr; 0]);
    assert_eq!(addresses(&good[..good.len() - 1]), [] as [IpAddr; 0]);
}

#[test]
fn a_server_failure_repeats_the_question_alone() {
    let mut bytes = query("www.example", RecordType::A);
    let length = bytes.len();
    bytes[11] = 1;
    bytes.extend([0, 0, 41, 4, 0, 0, 0, 0, 0, 0, 0]);
    let failure = Query::parse(&bytes).unwrap().server_failure();
    assert_eq!(failure.len(), length);
    assert_eq!(failure[..4], [0x12, 0x34, 0x81, 0x82]);
    assert_eq!(failure[4..12], [0, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(failure[12..], bytes[12..length]);
}

proptest! {
    #[test]
    fn any_octets_are_survived(bytes: Vec<u8>, id: u16) {
        let _ = addresses(&bytes);
        let _ = is_refusal(&bytes);
        if let Ok(query) = Query::parse(&bytes) {
            prop_assert_eq!(&query.with_id(query.id()), &bytes);
            prop_assert!(query.server_failure().len() <= bytes.len());
            let _ = query.address_question();
            let mut answer = bytes.clone();
            let _ = query.accept(&mut answer, id);
        }
    }

    /// Octets that look like a message further than random ones do.
    #[test]
    fn damaged_messages_are_survived(
        damage in proptest::collection::vec((0_usize..200, any::<u8>()), 0..12),
        cut in 0_usize..200,
    ) {
        let mut bytes = answer(&[
            record("www.example", RecordType::CNAME, &[1, b'a', 0xc0, 16]),
            record("a.example", RecordType::A, &[192, 0, 2, 1]),
            record("a.example", RecordType::CNAME, &encoded("www.example")),
        ]);
        for (at, value) in damage {
            if let Some(octet) = bytes.get_mut(at) {
                *octet = value;
            }
        }
        bytes.truncate(cut);
        let _ = addresses(&bytes);
        let query = Query::parse(&query("www.example", RecordType::A)).unwrap();
        let _ = query.accept(&mut bytes, 0x1234);
        if let Ok(query) = Query::parse(&bytes) {
            let _ = query.server_failure();
        }
    }
}
