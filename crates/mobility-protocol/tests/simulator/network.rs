//! A network that loses, delays, repeats and reorders, the same way for the same seed.

use std::net::IpAddr;
use std::time::Duration;

use mobility_protocol::{Datagram, Transmit, Transport};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// How bad the network is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Conditions {
    /// Datagrams lost, of a thousand.
    pub(crate) loss: u32,
    /// Datagrams that arrive twice, of a thousand.
    pub(crate) duplication: u32,
    /// Duplicates that arrive only after seconds, of a thousand.
    pub(crate) stragglers: u32,
    /// The least and the greatest delay of one way. What lies between reorders.
    pub(crate) delay: (Duration, Duration),
}

impl Conditions {
    /// 30 % loss both ways, and everything else that can go wrong.
    pub(crate) const BAD: Self = Self {
        loss: 300,
        duplication: 50,
        stragglers: 20,
        delay: (Duration::from_millis(2), Duration::from_millis(600)),
    };
    /// Nothing is lost, but everything takes long.
    pub(crate) const SLOW: Self = Self {
        loss: 0,
        duplication: 0,
        stragglers: 0,
        delay: (Duration::from_millis(100), Duration::from_millis(1500)),
    };
    /// Delay only.
    pub(crate) const GOOD: Self = Self {
        loss: 0,
        duplication: 0,
        stragglers: 0,
        delay: (Duration::from_millis(10), Duration::from_millis(20)),
    };
}

/// A datagram under way. Both ends use the same port.
#[derive(Debug, Clone)]
pub(crate) struct Packet {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) transport: Transport,
    pub(crate) payload: Vec<u8>,
}

impl From<Transmit> for Packet {
    fn from(transmit: Transmit) -> Self {
        Self {
            source: transmit.source,
            destination: transmit.destination,
            transport: transmit.transport,
            payload: transmit.payload,
        }
    }
}

impl Packet {
    /// As it arrives.
    pub(crate) fn datagram(&self) -> Datagram<'_> {
        Datagram {
            source: self.source,
            destination: self.destination,
            transport: self.transport,
            home_address: None,
            payload: &self.payload,
        }
    }
}

/// The network, and the only source of chance in a run.
#[derive(Debug)]
pub(crate) struct Network {
    conditions: Conditions,
    rng: ChaCha8Rng,
}

impl Network {
    pub(crate) fn new(conditions: Conditions, seed: u64) -> Self {
        Self {
            conditions,
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    pub(crate) fn set_conditions(&mut self, conditions: Conditions) {
        self.conditions = conditions;
    }

    /// After which delays a datagram sent now arrives: never, once, or more than once.
    pub(crate) fn deliveries(&mut self) -> Vec<Duration> {
        let Conditions {
            loss,
            duplication,
            stragglers,
            ..
        } = self.conditions;
        let mut deliveries = Vec::new();
        if !self.happens(loss) {
            deliveries.push(self.delay());
        }
        if self.happens(duplication) {
            deliveries.push(self.delay());
        }
        if self.happens(stragglers) {
            // Some late enough to be refused as old, some only just.
            let most = if self.happens(500) { 8 } else { 90 };
            deliveries.push(self.between(Duration::from_secs(1), Duration::from_secs(most)));
        }
        deliveries
    }

    /// With a probability of so many of a thousand.
    pub(crate) fn happens(&mut self, of_a_thousand: u32) -> bool {
        self.below(1000) < of_a_thousand
    }

    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        self.rng.next_u32() % bound.max(1)
    }

    pub(crate) fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let span = u32::try_from(most.saturating_sub(least).as_millis()).unwrap_or(u32::MAX);
        least + Duration::from_millis(self.below(span.saturating_add(1)).into())
    }

    pub(crate) fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        seed
    }

    fn delay(&mut self) -> Duration {
        let (least, most) = self.conditions.delay;
        // Mostly short, sometimes long: the square of an even distribution.
        let long = self.between(least, most);
        self.between(least, long)
    }
}
