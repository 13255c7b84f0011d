//! From an answer of a name server to what it says of a name.

use std::net::IpAddr;
use std::time::Duration;

use hickory_proto::rr::{Name, RData, Record};
use hickory_resolver::lookup::Lookup;

use crate::family::Family;
use crate::message;

/// The most aliases that are followed.
const MAX_ALIASES: usize = 16;
/// How long an answer without SOA counts, and one that says the name servers
/// cannot tell (RFC 2308 7.1).
pub(crate) const UNSURE_TTL: Duration = Duration::from_secs(5);

/// What is known of a name's addresses of one family.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// The addresses, and the name that has them at the end of all aliases.
    Addresses {
        addresses: Vec<IpAddr>,
        owner: Name,
        ttl: Duration,
    },
    /// There are none.
    Nothing { ttl: Duration },
    /// There are some that are not signed, and have to be.
    Insecure { ttl: Duration },
    /// Nobody could tell.
    Failed { ttl: Duration },
}

/// What is known of a name's texts.
#[derive(Debug, Clone)]
pub(crate) enum Texts {
    /// The texts, each in one piece.
    Found { texts: Vec<Vec<u8>>, ttl: Duration },
    /// There are none.
    Nothing { ttl: Duration },
    /// Nobody could tell, or not by signature where it has to be.
    Unproven { ttl: Duration },
}

/// The records at the end of all aliases, and the aliases. Of records that
/// belong to neither a name server may have sent any, even signed ones.
pub(crate) struct Chain<'a> {
    owner: Name,
    aliases: Vec<&'a Record>,
    records: Vec<&'a Record>,
    must_be_signed: bool,
}

impl<'a> Chain<'a> {
    pub(crate) fn from(name: &Name, lookup: &'a Lookup, must_be_signed: bool) -> Self {
        let mut owner = name;
        let mut aliases = Vec::new();
        while aliases.len() < MAX_ALIASES {
            let next = lookup.answers().iter().find_map(|record| {
                let target = alias(record).filter(|_| record.name == *owner)?;
                Some((record, target))
            });
            let Some((alias, target)) = next else { break };
            aliases.push(alias);
            owner = target;
        }
        let records = lookup.answers().iter();
        Self {
            owner: owner.clone(),
            aliases,
            records: records.filter(|record| record.name == *owner).collect(),
            must_be_signed,
        }
    }

    pub(crate) fn addresses(&self, family: Family) -> Answer {
        let address = |record: &Record| {
            let address = record.data.ip_addr();
            address.filter(|address| family.has(*address) && message::is_usable(*address))
        };
        let (records, addresses) = self.select(address);
        if records.is_empty() {
            return Answer::Nothing { ttl: UNSURE_TTL };
        }
        let ttl = self.ttl(&records);
        if !self.is_believed(&records) {
            return Answer::Insecure { ttl };
        }
        Answer::Addresses {
            addresses,
            owner: self.owner.clone(),
            ttl,
        }
    }

    pub(crate) fn texts(&self) -> Texts {
        let (records, texts) = self.select(|record| {
            let RData::TXT(text) = &record.data else {
                return None;
            };
            Some(text.txt_data.concat())
        });
        if !records.is_empty() && self.is_believed(&records) {
            let ttl = self.ttl(&records);
            return Texts::Found { texts, ttl };
        }
        let ttl = UNSURE_TTL;
        match self.must_be_signed {
            true => Texts::Unproven { ttl },
            false => Texts::Nothing { ttl },
        }
    }

    fn select<T>(&self, read: impl Fn(&Record) -> Option<T>) -> (Vec<&'a Record>, Vec<T>) {
        let records = self.records.iter();
        records
            .filter_map(|record| Some((*record, read(record)?)))
            .unzip()
    }

    /// The time for which all aliases and these records count.
    fn ttl(&self, records: &[&Record]) -> Duration {
        let ttls = self.aliases.iter().chain(records).map(|record| record.ttl);
        Duration::from_secs(ttls.min().unwrap_or_default().into())
    }

    fn is_believed(&self, records: &[&Record]) -> bool {
        let mut all = self.aliases.iter().chain(records);
        !self.must_be_signed || all.all(|record| record.proof.is_secure())
    }
}

fn alias(record: &Record) -> Option<&Name> {
    let RData::CNAME(target) = &record.data else {
        return None;
    };
    Some(&target.0)
}
