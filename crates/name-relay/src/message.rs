//! The little that the relay reads of a DNS message (RFC 1035 4.1): the
//! header, the question, and the addresses of an answer. Everything else is
//! octets.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::rr::{Name, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder, DecodeError};

use crate::family::Family;

/// Class IN.
const CLASS_IN: u16 = 1;

const HEADER_LENGTH: usize = 12;
const FLAG_RESPONSE: u8 = 0x80;
const FLAG_TRUNCATED: u8 = 0x02;
const OPCODE: u8 = 0x78;
const FLAG_RECURSION_DESIRED: u8 = 0x01;
const FLAG_RECURSION_AVAILABLE: u8 = 0x80;
const RESPONSE_CODE: u8 = 0x0f;

/// The most aliases that are followed from the question to the addresses.
const MAX_ALIASES: usize = 16;
/// The most addresses of one answer that are reported.
const MAX_ADDRESSES: usize = 64;

/// What a query asks. Names compare without regard to case (RFC 4343).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) name: Name,
    pub(crate) kind: RecordType,
    pub(crate) class: u16,
}

impl Question {
    /// The family of the addresses that this asks for, if it does.
    fn family(&self) -> Option<Family> {
        Family::of_record_type(self.kind).filter(|_| self.class == CLASS_IN)
    }
}

/// A query as it came, with the parts that the relay looks at.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    bytes: Vec<u8>,
    question: Option<Question>,
    question_end: usize,
}

/// Why a message is not taken as a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum QueryError {
    Malformed,
    NotAQuery,
}

/// Why a message is not taken as the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AnswerError {
    Malformed,
    Spoofed,
}

impl Query {
    /// Takes a query apart. A query carries one question or none (RFC 9619;
    /// RFC 7873 5.4 asks for a cookie with none).
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, QueryError> {
        let header = Header::read(bytes).ok_or(QueryError::Malformed)?;
        if header.flags & FLAG_RESPONSE != 0 {
            return Err(QueryError::NotAQuery);
        }
        let (question, question_end) = match header.questions {
            0 => (None, HEADER_LENGTH),
            1 => {
                let mut decoder = body(bytes).ok_or(QueryError::Malformed)?;
                let question =
                    read_question(&mut decoder).map_err(|_malformed| QueryError::Malformed)?;
                (Some(question), decoder.index())
            }
            _ => return Err(QueryError::Malformed),
        };
        Ok(Self {
            bytes: bytes.to_vec(),
            question,
            question_end,
        })
    }

    pub(crate) fn id(&self) -> u16 {
        Header::read(&self.bytes).map_or(0, |header| header.id)
    }

    /// The octets of the question section.
    pub(crate) fn question_bytes(&self) -> &[u8] {
        self.bytes
            .get(HEADER_LENGTH..self.question_end)
            .unwrap_or_default()
    }

    /// The name and the family, if this asks for addresses.
    pub(crate) fn address_question(&self) -> Option<(&Name, Family)> {
        let is_standard = self.bytes.get(2).is_some_and(|flags| flags & OPCODE == 0);
        let question = self.question.as_ref().filter(|_| is_standard)?;
        Some((&question.name, question.family()?))
    }

    /// The same octets under another id.
    pub(crate) fn with_id(&self, id: u16) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        set_id(&mut bytes, id);
        bytes
    }

    /// Checks that `answer` answers this query, sent under `id`
    /// (RFC 5452 9.1), and puts the asker's id back.
    ///
    /// Name servers that could not read the question may leave it out, and so
    /// may answers to other operations than queries (RFC 2136 3.8).
    pub(crate) fn accept(&self, answer: &mut [u8], id: u16) -> Result<(), AnswerError> {
        let header = Header::read(answer).ok_or(AnswerError::Malformed)?;
        if header.flags & FLAG_RESPONSE == 0 {
            return Err(AnswerError::Malformed);
        }
        if header.id != id {
            return Err(AnswerError::Spoofed);
        }
        let matches = match header.questions {
            0 => {
                self.question.is_none()
                    || header.flags & OPCODE != 0
                    || !matches!(header.response_code(), ResponseCode::NO_ERROR | 3)
            }
            1 => {
                let mut decoder = body(answer).ok_or(AnswerError::Malformed)?;
                let question =
                    read_question(&mut decoder).map_err(|_malformed| AnswerError::Malformed)?;
                self.question.as_ref() == Some(&question)
            }
            _ => false,
        };
        if !matches {
            return Err(AnswerError::Spoofed);
        }
        set_id(answer, self.id());
        Ok(())
    }

    /// SERVFAIL for this query: what a resolver says that got no answer.
    pub(crate) fn server_failure(&self) -> Vec<u8> {
        let mut answer = Vec::with_capacity(self.question_end);
        answer.extend_from_slice(&self.id().to_be_bytes());
        let flags = self.bytes.get(2).copied().unwrap_or_default();
        answer.push(FLAG_RESPONSE | (flags & (OPCODE | FLAG_RECURSION_DESIRED)));
        answer.push(FLAG_RECURSION_AVAILABLE | ResponseCode::SERVER_FAILURE);
        answer.extend_from_slice(&u16::from(self.question.is_some()).to_be_bytes());
        answer.extend_from_slice(&[0; 6]);
        answer.extend_from_slice(self.question_bytes());
        answer
    }
}

/// Whether another name server may know better: the codes after which a stub
/// resolver asks the next one.
pub(crate) fn is_refusal(answer: &[u8]) -> bool {
    Header::read(answer).is_some_and(|header| {
        matches!(
            header.response_code(),
            ResponseCode::SERVER_FAILURE | ResponseCode::NOT_IMPLEMENTED | ResponseCode::REFUSED
        )
    })
}

/// The addresses of an answer that are of the family it was asked for, through
/// its aliases, in their order. None where the answer is an error or truncated
/// (the asker will come again).
pub(crate) fn addresses(answer: &[u8]) -> Vec<IpAddr> {
    read_addresses(answer).unwrap_or_default()
}

/// Whether a packet could be sent to this address through a tunnel.
pub(crate) fn is_usable(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_usable_ipv4(address),
        IpAddr::V6(address) => is_usable_ipv6(address),
    }
}

fn is_usable_ipv4(address: Ipv4Addr) -> bool {
    !(address.is_loopback()
        || address.is_multicast()
        || address.is_broadcast()
        || address.octets()[0] == 0)
}

/// `::/8` holds the unspecified address, loopback and what stands for IPv4:
/// mapped addresses and the well-known prefix of translators (RFC 6052 2.1),
/// behind which no agent speaks Mobile IPv6.
fn is_usable_ipv6(address: Ipv6Addr) -> bool {
    !(address.is_multicast() || address.is_unicast_link_local() || address.octets()[0] == 0)
}

struct ResponseCode;

impl ResponseCode {
    const NO_ERROR: u8 = 0;
    const SERVER_FAILURE: u8 = 2;
    const NOT_IMPLEMENTED: u8 = 4;
    const REFUSED: u8 = 5;
}

struct Header {
    id: u16,
    flags: u8,
    more_flags: u8,
    questions: u16,
    answers: u16,
}

impl Header {
    fn read(bytes: &[u8]) -> Option<Self> {
        let header: &[u8; HEADER_LENGTH] = bytes.first_chunk()?;
        let [id0, id1, flags, more_flags, qd0, qd1, an0, an1, ..] = *header;
        Some(Self {
            id: u16::from_be_bytes([id0, id1]),
            flags,
            more_flags,
            questions: u16::from_be_bytes([qd0, qd1]),
            answers: u16::from_be_bytes([an0, an1]),
        })
    }

    fn response_code(&self) -> u8 {
        self.more_flags & RESPONSE_CODE
    }
}

fn set_id(bytes: &mut [u8], id: u16) {
    if let Some(field) = bytes.first_chunk_mut() {
        *field = id.to_be_bytes();
    }
}

/// A decoder that stands behind the header.
fn body(bytes: &[u8]) -> Option<BinDecoder<'_>> {
    let mut decoder = BinDecoder::new(bytes);
    decoder.read_slice(HEADER_LENGTH).ok()?;
    Some(decoder)
}

fn read_question(decoder: &mut BinDecoder<'_>) -> Result<Question, DecodeError> {
    Ok(Question {
        name: Name::read(decoder)?,
        kind: RecordType::read(decoder)?,
        class: decoder.read_u16()?.unverified(),
    })
}

fn read_addresses(answer: &[u8]) -> Option<Vec<IpAddr>> {
    let header = Header::read(answer)?;
    if header.flags & FLAG_TRUNCATED != 0
        || header.response_code() != ResponseCode::NO_ERROR
        || header.questions != 1
    {
        return None;
    }
    let mut decoder = body(answer)?;
    let question = read_question(&mut decoder).ok()?;
    let family = question.family()?;
    let mut aliases: BTreeMap<Name, Name> = BTreeMap::new();
    let mut found: Vec<(Name, IpAddr)> = Vec::new();
    for _ in 0..header.answers {
        let Ok(record) = read_record(&mut decoder) else {
            break;
        };
        match record {
            (owner, Some(Data::Address(address))) => found.push((owner, address)),
            (owner, Some(Data::Alias(target))) => {
                aliases.entry(owner).or_insert(target);
            }
            (_, None) => {}
        }
    }
    let mut owner = &question.name;
    for _ in 0..MAX_ALIASES {
        let Some(target) = aliases.get(owner) else {
            break;
        };
        owner = target;
    }
    let mut seen = BTreeSet::new();
    Some(
        found
            .into_iter()
            .filter(|(name, address)| name == owner && family.has(*address) && is_usable(*address))
            .map(|(_, address)| address)
            .filter(|address| seen.insert(*address))
            .take(MAX_ADDRESSES)
            .collect(),
    )
}

enum Data {
    Address(IpAddr),
    Alias(Name),
}

fn read_record(decoder: &mut BinDecoder<'_>) -> Result<(Name, Option<Data>), DecodeError> {
    let owner = Name::read(decoder)?;
    let kind = RecordType::read(decoder)?;
    let class = decoder.read_u16()?.unverified();
    let _ttl = decoder.read_u32()?.unverified();
    let length = decoder.read_u16()?.unverified();
    let start = decoder.index();
    let data = decoder.read_slice(usize::from(length))?.unverified();
    let data = match (class, kind) {
        (CLASS_IN, RecordType::A) => <[u8; 4]>::try_from(data)
            .ok()
            .map(|octets| Data::Address(octets.into())),
        (CLASS_IN, RecordType::AAAA) => <[u8; 16]>::try_from(data)
            .ok()
            .map(|octets| Data::Address(octets.into())),
        (CLASS_IN, RecordType::CNAME) => match u16::try_from(start) {
            Ok(start) => Some(Data::Alias(Name::read(&mut decoder.clone(start))?)),
            Err(_beyond) => None,
        },
        _ => None,
    };
    Ok((owner, data))
}

#[cfg(test)]
mod tests;
