//! Zones of DNSSEC for tests, signed as they are asked, with hickory-proto's own signer. Denials are compact ones: the
//! name exists and has no such type (RFC 9824). What is no name or no question is the test's mistake, and panics.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hickory_proto::dnssec::crypto::Ed25519SigningKey;
use hickory_proto::dnssec::rdata::{DNSKEY, DNSSECRData, NSEC, RRSIG, SigInput};
use hickory_proto::dnssec::{Algorithm, DnssecSigner, SigningKey, TBS};
use hickory_proto::op::{Edns, Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS, SOA, TXT};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType, SerialNumber};

const TTL: u32 = 60;

/// A zone with one key.
#[derive(Clone)]
pub struct Zone {
    apex: Name,
    signer: Arc<DnssecSigner>,
    records: BTreeMap<(Name, u16), Vec<Record>>,
    signs: bool,
}

/// A question as it arrived.
pub struct Question(Message);

impl Question {
    /// Of the octets of a query.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        Self(Message::from_vec(bytes).unwrap())
    }

    /// The record type it asks for.
    #[must_use]
    pub fn kind(&self) -> u16 {
        self.0.queries[0].query_type().into()
    }

    /// Whether it is about a name, whatever the case of its letters.
    #[must_use]
    pub fn is_about(&self, name: &str) -> bool {
        *self.0.queries[0].name() == Name::from_ascii(name).unwrap()
    }

    /// The answer that fails so (RFC 1035 4.1.1).
    #[must_use]
    pub fn fail(&self, code: u8) -> Vec<u8> {
        let mut message = self.0.clone();
        message.metadata.message_type = MessageType::Response;
        message.metadata.response_code = ResponseCode::from(0, code);
        message.to_vec().unwrap()
    }

    /// Whether it has the bit "DNSSEC OK" (RFC 3225).
    #[must_use]
    pub fn wants_signatures(&self) -> bool {
        let edns = self.0.edns.as_ref();
        edns.is_some_and(|edns| edns.flags().dnssec_ok)
    }
}

impl Zone {
    /// A zone with a new key and no names. All names are absolute: they end in a dot.
    #[must_use]
    pub fn new(apex: &str) -> Self {
        let pkcs8 = Ed25519SigningKey::generate_pkcs8().unwrap();
        let key = Ed25519SigningKey::from_pkcs8(&pkcs8).unwrap();
        let dnskey = DNSKEY::with_flags(257, key.to_public_key().unwrap());
        let apex = Name::from_ascii(apex).unwrap();
        let month = Duration::from_secs(30 * 24 * 3600);
        let signer = DnssecSigner::new(dnskey.clone(), Box::new(key), apex.clone(), month);
        let nobody = Name::from_ascii("nobody.example.").unwrap();
        let soa = SOA::new(nobody.clone(), nobody.clone(), 1, 3600, 600, 86_400, 60);
        let mut zone = Self {
            apex: apex.clone(),
            signer: Arc::new(signer),
            records: BTreeMap::new(),
            signs: true,
        };
        zone.add(apex.clone(), RData::DNSSEC(DNSSECRData::DNSKEY(dnskey)));
        zone.add(apex.clone(), RData::SOA(soa));
        zone.add(apex, RData::NS(NS(nobody)));
        zone
    }

    /// One address more of a name.
    #[must_use]
    pub fn with(mut self, name: &str, address: IpAddr) -> Self {
        let data = match address {
            IpAddr::V4(address) => RData::A(A(address)),
            IpAddr::V6(address) => RData::AAAA(AAAA(address)),
        };
        self.add(Name::from_ascii(name).unwrap(), data);
        self
    }

    /// A name that stands for another one.
    #[must_use]
    pub fn alias(mut self, name: &str, target: &str) -> Self {
        let target = Name::from_ascii(target).unwrap();
        self.add(Name::from_ascii(name).unwrap(), RData::CNAME(CNAME(target)));
        self
    }

    /// A zone below, which is not signed.
    #[must_use]
    pub fn delegate(mut self, name: &str) -> Self {
        let server = Name::from_ascii("nobody.example.").unwrap();
        self.add(Name::from_ascii(name).unwrap(), RData::NS(NS(server)));
        self
    }

    /// One text more of a name.
    #[must_use]
    pub fn text(mut self, name: &str, text: &str) -> Self {
        let text = TXT::new(vec![text.to_owned()]);
        self.add(Name::from_ascii(name).unwrap(), RData::TXT(text));
        self
    }

    /// The same zone without signatures.
    #[must_use]
    pub fn unsigned(mut self) -> Self {
        self.signs = false;
        self
    }

    /// The key, as operators configure it.
    #[must_use]
    pub fn anchor(&self) -> String {
        let data = RData::DNSSEC(DNSSECRData::DNSKEY(self.signer.to_dnskey()));
        Record::from_rdata(self.apex.clone(), TTL, data).to_string()
    }

    /// The answer.
    #[must_use]
    pub fn answer(&self, question: &Question) -> Vec<u8> {
        self.respond(question, |_| {})
    }

    /// The answer, and beside it the records of another name.
    #[must_use]
    pub fn answer_with(&self, question: &Question, other: &str) -> Vec<u8> {
        let other = Name::from_ascii(other).unwrap();
        let kind = question.0.queries[0].query_type();
        self.respond(question, |answers| answers.extend(self.set(&other, kind)))
    }

    /// The answer as resolvers give it: what an alias leads to is denied where it is not.
    #[must_use]
    pub fn answer_to_the_end(&self, question: &Question) -> Vec<u8> {
        let name = question.0.queries[0].name();
        let kind = question.0.queries[0].query_type();
        let target = self.set(name, RecordType::CNAME).first().and_then(alias);
        let target = target.filter(|target| self.set(target, kind).is_empty());
        self.complete(question, |message| {
            if let Some(target) = target {
                message.authorities = self.set(&self.apex, RecordType::SOA);
                message.authorities.extend(self.denial(&target));
            }
        })
    }

    /// The answer, whose end is another zone's.
    #[must_use]
    pub fn answer_then(&self, question: &Question, end: &Self) -> Vec<u8> {
        let kind = question.0.queries[0].query_type();
        self.respond(question, |answers| {
            let target = answers.first().and_then(alias);
            if let Some(target) = target {
                answers.truncate(1);
                answers.extend(end.set(&target, kind));
            }
        })
    }

    fn respond(&self, question: &Question, change: impl FnOnce(&mut Vec<Record>)) -> Vec<u8> {
        self.complete(question, |message| change(&mut message.answers))
    }

    fn complete(&self, question: &Question, change: impl FnOnce(&mut Message)) -> Vec<u8> {
        let asked = &question.0.queries[0];
        let (mut name, kind) = (asked.name().clone(), asked.query_type());
        let mut message = question.0.clone();
        message.metadata.message_type = MessageType::Response;
        message.metadata.recursion_available = true;
        message.additionals.clear();
        if question.wants_signatures() {
            let mut edns = Edns::new();
            edns.set_dnssec_ok(true).set_max_payload(4096);
            message.edns = Some(edns);
        }
        let aliases = self.set(&name, RecordType::CNAME);
        if let Some(target) = aliases.first().and_then(alias) {
            name = target;
        }
        message.answers = [aliases, self.set(&name, kind)].concat();
        if message.answers.is_empty() {
            message.authorities = self.set(&self.apex, RecordType::SOA);
            if self.signs {
                message.authorities.extend(self.denial(&name));
            }
        }
        change(&mut message);
        if !question.wants_signatures() {
            let is_plain = |record: &Record| !matches!(record.data, RData::DNSSEC(_));
            message.answers.retain(is_plain);
            message.authorities.retain(is_plain);
        }
        message.to_vec().unwrap()
    }

    /// The records of a name and type, with their signature.
    fn set(&self, name: &Name, kind: RecordType) -> Vec<Record> {
        let records = self.records.get(&(name.to_lowercase(), kind.into()));
        self.sign(records.cloned().unwrap_or_default())
    }

    /// That the name has no other types than it has.
    fn denial(&self, name: &Name) -> Vec<Record> {
        let types = self.records.keys().filter(|(owner, _)| owner == name);
        let types = types.map(|(_, kind)| RecordType::from(*kind));
        let next = name.prepend_label(&b"\0"[..]).unwrap();
        let data = RData::DNSSEC(DNSSECRData::NSEC(NSEC::new_cover_self(next, types)));
        self.sign(vec![Record::from_rdata(name.clone(), TTL, data)])
    }

    fn sign(&self, mut records: Vec<Record>) -> Vec<Record> {
        let Some(first) = records.first().filter(|_| self.signs) else {
            return records;
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let now = u32::try_from(now.as_secs()).unwrap();
        let input = SigInput {
            type_covered: first.record_type(),
            algorithm: Algorithm::ED25519,
            num_labels: first.name.num_labels(),
            original_ttl: TTL,
            sig_expiration: SerialNumber::new(now + 3600),
            sig_inception: SerialNumber::new(now - 3600),
            key_tag: self.signer.calculate_key_tag().unwrap(),
            signer_name: self.apex.clone(),
        };
        let tbs = TBS::from_input(&first.name, DNSClass::IN, &input, records.iter()).unwrap();
        let signature = RRSIG::from_sig(input, self.signer.sign(&tbs).unwrap());
        let data = RData::DNSSEC(DNSSECRData::RRSIG(signature));
        records.push(Record::from_rdata(first.name.clone(), TTL, data));
        records
    }

    fn add(&mut self, name: Name, data: RData) {
        let record = Record::from_rdata(name.clone(), TTL, data);
        let key = (name.to_lowercase(), record.record_type().into());
        self.records.entry(key).or_default().push(record);
    }
}

fn alias(record: &Record) -> Option<Name> {
    let RData::CNAME(target) = &record.data else {
        return None;
    };
    Some(target.0.clone())
}
