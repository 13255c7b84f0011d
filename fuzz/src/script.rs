//! Arbitrary octets as what happens to a machine.

/// What is left of the octets. What they lack is zero, so that every prefix of a script is one.
pub(crate) struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    pub(crate) const fn new(octets: &'a [u8]) -> Self {
        Self(octets)
    }

    /// What happens next, if anything does.
    pub(crate) fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub(crate) fn octet(&mut self) -> u8 {
        self.next().unwrap_or_default()
    }

    /// Up to `most` minus one.
    pub(crate) fn below(&mut self, most: usize) -> usize {
        usize::from(self.octet()) % most
    }

    pub(crate) fn number(&mut self) -> u16 {
        u16::from_be_bytes([self.octet(), self.octet()])
    }

    pub(crate) fn octets(&mut self, length: usize) -> &'a [u8] {
        let (octets, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        octets
    }
}

/// Changes one bit, if there is any, and tells in which octet.
pub(crate) fn flip(octets: &mut [u8], bit: u16) -> Option<usize> {
    let bit = usize::from(bit).checked_rem(octets.len() * 8)?;
    octets[bit / 8] ^= 1 << (bit % 8);
    Some(bit / 8)
}
