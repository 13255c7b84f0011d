//! Records as octets.
//!
//! ```text
//! version 4 · stamp · association · lease · counted at
//! stamp:       0 | 1 · timestamp 8 | 2 · sequence number 2 | 3 · timestamp 8 · sequence number 2
//! association: 0                                      the open one
//!              1 · algorithm 1 · SPI 4 · length 2 · key
//! lease:       0 · home address · care-of address · reachability · transport · lifetime 8 · expires at 8
//!              1 · home address · (0 | 1 · held until 8) · forget at 8
//! address:     4 · 4 octets | 6 · 16 octets
//! reachability: 0 proven | 1 unproven
//! transport:   0 · UDP port 2 | 1                     the Mobility Header
//! counted at:  0 | 1 · care-of address
//! ```
//! Numbers are big-endian, times and durations nanoseconds. Version 1 has a timestamp for a stamp, and
//! no transport: it knew IPv4 only. Neither it nor version 2 has a reachability: whoever was there counts
//! as proven. None of the three says where strangers are counted: those are that are bound, where they are.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use mobility_protocol::home_agent::{StoredLease, StoredRecord};
use mobility_protocol::security::{Algorithm, Key, ReplayProtection, SecurityAssociation};
use mobility_protocol::wire::Identification;
use mobility_protocol::wire::mip4;
use mobility_protocol::wire::mip6::SequenceNumber;
use mobility_protocol::{CareOfAddress, Identity, Reachability, Stamp, Transport};
use zeroize::Zeroizing;

const VERSION: u8 = 4;
/// What records say that were written before it was known after a restart whom quotas count where.
const WITHOUT_COUNT: u8 = 3;
/// What records say that were written before anybody had to show where he is.
const WITHOUT_REACHABILITY: u8 = 2;
/// What records say that were written before there was IPv6.
const IPV4_ONLY: u8 = 1;

/// Why octets are not a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CodecError {
    #[error("its version {0} is unknown")]
    Version(u8),
    #[error("it ends too early")]
    Truncated,
    #[error("{0} octets follow its end")]
    Trailing(usize),
    #[error("its {field} can't be {value}")]
    Value { field: &'static str, value: u8 },
    #[error("its key has {0} octets")]
    Key(usize),
    #[error("its identity has {0} octets")]
    Identity(usize),
}

/// Octets of a record without its key, at most.
const MOST_BUT_KEY: usize = 128;

/// The octets have the key in them. They are wiped from memory when dropped, and have room enough from
/// the beginning: a vector that grows leaves copies behind.
pub(crate) fn encode(record: &StoredRecord) -> Zeroizing<Vec<u8>> {
    let key = record.association.key.as_bytes();
    let mut octets = Zeroizing::new(Vec::with_capacity(MOST_BUT_KEY + key.len()));
    octets.push(VERSION);
    put_stamp(&mut octets, record.last);
    put_association(&mut octets, &record.association);
    match record.lease {
        StoredLease::Bound {
            home_address,
            care_of,
            reachability,
            transport,
            lifetime,
            expires_at,
        } => {
            octets.push(0);
            put_address(&mut octets, home_address.ip());
            put_address(&mut octets, care_of.ip());
            octets.push(match reachability {
                Reachability::Proven => 0,
                Reachability::Unproven => 1,
            });
            put_transport(&mut octets, transport);
            put_duration(&mut octets, lifetime);
            put_duration(&mut octets, expires_at);
        }
        StoredLease::Released {
            home_address,
            held_until,
            forget_at,
        } => {
            octets.push(1);
            put_address(&mut octets, home_address.ip());
            octets.push(u8::from(held_until.is_some()));
            if let Some(held_until) = held_until {
                put_duration(&mut octets, held_until);
            }
            put_duration(&mut octets, forget_at);
        }
    }
    octets.push(u8::from(record.counted_at.is_some()));
    if let Some(care_of) = record.counted_at {
        put_address(&mut octets, care_of.ip());
    }
    octets
}

pub(crate) fn decode(identity: &[u8], octets: &[u8]) -> Result<StoredRecord, CodecError> {
    let mut reader = Reader(octets);
    let version = reader.u8()?;
    let last = match version {
        VERSION | WITHOUT_COUNT | WITHOUT_REACHABILITY => reader.stamp()?,
        IPV4_ONLY => Identification(reader.u64()?).into(),
        other => return Err(CodecError::Version(other)),
    };
    let association = reader.association()?;
    let lease = reader.lease(version)?;
    let record = StoredRecord {
        identity: Identity::new(identity).map_err(|error| CodecError::Identity(error.0))?,
        last,
        lease,
        counted_at: match version {
            VERSION => reader.counted_at()?,
            _ => bound_at(&lease).filter(|_| association.is_agreed()),
        },
        association: Arc::new(association),
    };
    match reader.0.len() {
        0 => Ok(record),
        left => Err(CodecError::Trailing(left)),
    }
}

const fn bound_at(lease: &StoredLease) -> Option<CareOfAddress> {
    match lease {
        StoredLease::Bound { care_of, .. } => Some(*care_of),
        StoredLease::Released { .. } => None,
    }
}

fn put_stamp(octets: &mut Vec<u8>, stamp: Stamp) {
    let Stamp {
        timestamp,
        sequence,
    } = stamp;
    octets.push(u8::from(timestamp.is_some()) | u8::from(sequence.is_some()) << 1);
    if let Some(timestamp) = timestamp {
        octets.extend(timestamp.0.to_be_bytes());
    }
    if let Some(sequence) = sequence {
        octets.extend(sequence.0.to_be_bytes());
    }
}

fn put_transport(octets: &mut Vec<u8>, transport: Transport) {
    match transport {
        Transport::Udp { port } => {
            octets.push(0);
            octets.extend(port.to_be_bytes());
        }
        Transport::MobilityHeader => octets.push(1),
    }
}

fn put_association(octets: &mut Vec<u8>, association: &SecurityAssociation) {
    if *association == SecurityAssociation::open_mode() {
        octets.push(0);
        return;
    }
    octets.push(1);
    octets.push(match association.algorithm {
        Algorithm::HmacMd5 => 0,
        Algorithm::HmacSha1 => 1,
        Algorithm::HmacSha256 => 2,
        Algorithm::KeyedMd5 { covers_spi: true } => 3,
        Algorithm::KeyedMd5 { covers_spi: false } => 4,
    });
    octets.extend(association.spi.to_be_bytes());
    let key = association.key.as_bytes();
    // A key has at most 1024 octets.
    octets.extend(u16::try_from(key.len()).unwrap_or(u16::MAX).to_be_bytes());
    octets.extend(key);
}

fn put_address(octets: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            octets.push(4);
            octets.extend(address.octets());
        }
        IpAddr::V6(address) => {
            octets.push(6);
            octets.extend(address.octets());
        }
    }
}

/// Enough for Unix times until the year 2554.
fn put_duration(octets: &mut Vec<u8>, duration: Duration) {
    octets.extend(
        u64::try_from(duration.as_nanos())
            .unwrap_or(u64::MAX)
            .to_be_bytes(),
    );
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn association(&mut self) -> Result<SecurityAssociation, CodecError> {
        match self.u8()? {
            0 => return Ok(SecurityAssociation::open_mode()),
            1 => {}
            value => {
                return Err(CodecError::Value {
                    field: "association",
                    value,
                });
            }
        }
        let algorithm = match self.u8()? {
            0 => Algorithm::HmacMd5,
            1 => Algorithm::HmacSha1,
            2 => Algorithm::HmacSha256,
            3 => Algorithm::KeyedMd5 { covers_spi: true },
            4 => Algorithm::KeyedMd5 { covers_spi: false },
            value => {
                return Err(CodecError::Value {
                    field: "algorithm",
                    value,
                });
            }
        };
        let spi = u32::from_be_bytes(self.array()?);
        let length = usize::from(self.u16()?);
        let (key, rest) = self
            .0
            .split_at_checked(length)
            .ok_or(CodecError::Truncated)?;
        self.0 = rest;
        let key = Key::new(key).map_err(|_| CodecError::Key(length))?;
        Ok(SecurityAssociation {
            spi,
            algorithm,
            key,
            // The configuration's to say, and not the record's.
            replay: ReplayProtection::Timestamps,
        })
    }

    fn stamp(&mut self) -> Result<Stamp, CodecError> {
        let (timestamp, sequence) = match self.u8()? {
            0 => (false, false),
            1 => (true, false),
            2 => (false, true),
            3 => (true, true),
            value => {
                return Err(CodecError::Value {
                    field: "stamp",
                    value,
                });
            }
        };
        let timestamp = timestamp.then(|| self.u64()).transpose()?;
        let sequence = sequence.then(|| self.u16()).transpose()?;
        Ok(Stamp {
            timestamp: timestamp.map(Identification),
            sequence: sequence.map(SequenceNumber),
        })
    }

    fn reachability(&mut self, version: u8) -> Result<Reachability, CodecError> {
        if version <= WITHOUT_REACHABILITY {
            return Ok(Reachability::Proven);
        }
        match self.u8()? {
            0 => Ok(Reachability::Proven),
            1 => Ok(Reachability::Unproven),
            value => Err(CodecError::Value {
                field: "reachability",
                value,
            }),
        }
    }

    fn transport(&mut self, version: u8) -> Result<Transport, CodecError> {
        if version == IPV4_ONLY {
            return Ok(Transport::Udp { port: mip4::PORT });
        }
        match self.u8()? {
            0 => Ok(Transport::Udp { port: self.u16()? }),
            1 => Ok(Transport::MobilityHeader),
            value => Err(CodecError::Value {
                field: "transport",
                value,
            }),
        }
    }

    fn lease(&mut self, version: u8) -> Result<StoredLease, CodecError> {
        match self.u8()? {
            0 => Ok(StoredLease::Bound {
                home_address: self.address()?.into(),
                care_of: self.address()?.into(),
                reachability: self.reachability(version)?,
                transport: self.transport(version)?,
                lifetime: self.duration()?,
                expires_at: self.duration()?,
            }),
            1 => Ok(StoredLease::Released {
                home_address: self.address()?.into(),
                held_until: match self.u8()? {
                    0 => None,
                    1 => Some(self.duration()?),
                    value => {
                        return Err(CodecError::Value {
                            field: "hold-down",
                            value,
                        });
                    }
                },
                forget_at: self.duration()?,
            }),
            value => Err(CodecError::Value {
                field: "lease",
                value,
            }),
        }
    }

    fn counted_at(&mut self) -> Result<Option<CareOfAddress>, CodecError> {
        match self.u8()? {
            0 => Ok(None),
            1 => Ok(Some(self.address()?.into())),
            value => Err(CodecError::Value {
                field: "count",
                value,
            }),
        }
    }

    fn address(&mut self) -> Result<IpAddr, CodecError> {
        match self.u8()? {
            4 => Ok(Ipv4Addr::from(self.array::<4>()?).into()),
            6 => Ok(Ipv6Addr::from(self.array::<16>()?).into()),
            value => Err(CodecError::Value {
                field: "address family",
                value,
            }),
        }
    }

    fn duration(&mut self) -> Result<Duration, CodecError> {
        self.u64().map(Duration::from_nanos)
    }

    fn u8(&mut self) -> Result<u8, CodecError> {
        self.array().map(u8::from_be_bytes)
    }

    fn u16(&mut self) -> Result<u16, CodecError> {
        self.array().map(u16::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, CodecError> {
        self.array().map(u64::from_be_bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        let (array, rest) = self
            .0
            .split_first_chunk::<N>()
            .ok_or(CodecError::Truncated)?;
        self.0 = rest;
        Ok(*array)
    }
}

#[cfg(test)]
mod tests;
