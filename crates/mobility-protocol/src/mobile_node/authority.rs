//! How messages to one home agent are authenticated, and the key that is agreed on with it.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use rand_core::Rng;
use serde::{Deserialize, Serialize};

use super::attempt::{Attempt, Purpose, Request};
use super::context::Context;
use super::credentials::{Credentials, Pin, Terms};
use super::shared_keys::SharedKeys;
use super::signalling::{Acknowledgement, Challenge, Verdict};
use super::status::Drop;
use crate::security::{Cookie, KeyPair, PublicKey, ResumptionToken, SecurityAssociation};
use crate::wire::KeyAgreement;
use crate::{CareOfAddress, Family, HomeAgentAddress, Identity};

/// What becomes of a binding when somebody wants it who has his own credentials for its home agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fitness {
    /// It is good enough for him.
    Fits,
    /// It was begun with less than the operator has configured.
    TooWeak,
    /// It is with a key that is not the one he was told, or insists on another one.
    Contradicts,
}

/// What of an agreement survives a restart. Secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredAgreement {
    /// The secret half of the mobile node's key pair, in hexadecimal.
    secret: String,
    /// The home agent's key, in hexadecimal.
    key: String,
    /// The home agent's address the key of the binding was made for.
    address: IpAddr,
    /// Whether a name had published that key. Absent in what an earlier version wrote.
    #[serde(default)]
    published: bool,
}

impl std::ops::Drop for StoredAgreement {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.secret);
    }
}

impl std::fmt::Debug for StoredAgreement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredAgreement")
            .field("key", &self.key)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// How messages to one home agent are authenticated.
#[derive(Debug)]
pub(super) enum Authority {
    Shared(SharedKeys),
    Agreed(Box<Agreement>),
}

/// A key being agreed on, or agreed on already.
#[derive(Debug)]
pub(super) struct Agreement {
    pair: KeyPair,
    pinned: Option<Pin>,
    made: Option<Made>,
    /// What the home agent waits for.
    cookie: Option<Cookie>,
    /// What spares us a cookie where it was given.
    token: Option<(ResumptionToken, CareOfAddress)>,
    /// How many challenges in a row came with another key, and when the first did.
    other_keys: u8,
    other_since: Option<Instant>,
}

/// After so many challenges with another key, over so long a time, the home agent is taken for a new
/// one: its secret was lost. Somebody on the way can forge as many for one request, but its own answer
/// comes within that time, unless he can keep it from us.
const NEW_HOME_AGENT: u8 = 3;
const NEW_HOME_AGENT_AFTER: Duration = Duration::from_secs(2);

/// What a challenge means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Challenged {
    /// The next message has what is asked for.
    Answerable,
    /// The key of the binding is worth nothing any more.
    NewHomeAgent,
}

/// What came of it.
#[derive(Debug)]
struct Made {
    key: PublicKey,
    address: IpAddr,
    association: SecurityAssociation,
}

/// What a message brings along beside its authenticator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Elements {
    pub(super) key_share: Option<PublicKey>,
    pub(super) cookie: Option<Cookie>,
    pub(super) token: Option<ResumptionToken>,
}

impl Authority {
    /// For a new binding with `agent`: with the key of the last one, if there was one a short while ago.
    pub(super) fn new(
        agent: HomeAgentAddress,
        credentials: Credentials,
        context: &mut Context<'_>,
    ) -> Self {
        match credentials {
            Credentials::Associations { preferred, others } => {
                let mut keys = SharedKeys::new(preferred, others);
                if let Some(spi) = context.memory.answered {
                    keys.set_answered(spi);
                }
                Self::Shared(keys)
            }
            Credentials::Agreement { pinned } => {
                if let Some(agreement) = Agreement::of_acquaintance(agent, pinned, context) {
                    return Self::Agreed(Box::new(agreement));
                }
                let mut secret = zeroize::Zeroizing::new([0; 32]);
                context.rng.fill_bytes(&mut *secret);
                let pair = KeyPair::new(*secret);
                Self::Agreed(Box::new(Agreement::new(pair, pinned)))
            }
        }
    }

    /// Goes on from what was stored; `None` where that does not fit what is configured today.
    pub(super) fn resume(
        credentials: Credentials,
        stored: Option<&StoredAgreement>,
        identity: &Identity,
    ) -> Option<Self> {
        let pinned = match credentials {
            Credentials::Associations { preferred, others } => {
                return Some(Self::Shared(SharedKeys::new(preferred, others)));
            }
            Credentials::Agreement { pinned } => pinned,
        };
        let mut agreement = Agreement::resume(stored?, pinned, identity)?;
        if stored.is_some_and(|stored| stored.published) {
            let made = agreement.made.as_ref().map(|made| made.key);
            agreement.pinned = agreement.pinned.or(made.map(Pin::Published));
        }
        Some(Self::Agreed(Box::new(agreement)))
    }

    /// What was insisted on when the binding began, or has been since.
    pub(super) const fn terms(&self) -> Terms {
        match self {
            Self::Shared(_) => Terms::Shared,
            Self::Agreed(agreement) => Terms::Agreed(agreement.pinned),
        }
    }

    /// Whether the binding does for somebody with these credentials; where it does, it is held to them
    /// from now on.
    ///
    /// What is configured was never up to whoever answers for a name; what is published is, and must
    /// not end what other names have.
    pub(super) fn fit(&mut self, credentials: &Credentials) -> Fitness {
        let (agreement, pin) = match (self, credentials) {
            (Self::Shared(_), _) | (Self::Agreed(_), Credentials::Agreement { pinned: None }) => {
                return Fitness::Fits;
            }
            (Self::Agreed(_), Credentials::Associations { .. }) => return Fitness::TooWeak,
            (Self::Agreed(agreement), Credentials::Agreement { pinned: Some(pin) }) => {
                (agreement, *pin)
            }
        };
        let made = agreement.made.as_ref().map(|made| made.key);
        let held_to = agreement.pinned.map(Pin::key).or(made);
        let is_other = held_to.is_some_and(|key| key != pin.key());
        let is_configured = matches!(agreement.pinned, Some(Pin::Configured(_)));
        match (is_other, pin) {
            (true, Pin::Configured(_)) if !is_configured => Fitness::TooWeak,
            (true, Pin::Configured(_) | Pin::Published(_)) => Fitness::Contradicts,
            (false, Pin::Configured(_) | Pin::Published(_)) => {
                if !is_configured {
                    agreement.pinned = Some(pin);
                }
                Fitness::Fits
            }
        }
    }

    pub(super) fn stored(&self) -> Option<StoredAgreement> {
        let Self::Agreed(agreement) = self else {
            return None;
        };
        let made = agreement.made.as_ref()?;
        Some(StoredAgreement {
            secret: hex::encode(*agreement.pair.secret()),
            key: made.key.to_string(),
            address: made.address,
            published: matches!(agreement.pinned, Some(Pin::Published(_))),
        })
    }

    /// What the next message of this attempt is authenticated with. Keys that get no answer take turns.
    pub(super) fn association(&self, attempt: &Attempt) -> SecurityAssociation {
        match self {
            Self::Shared(keys) => {
                let turn = attempt.turn(keys.count(), keys.answered());
                keys.at(turn).clone()
            }
            Self::Agreed(agreement) => match &agreement.made {
                Some(made) => made.association.clone(),
                None => SecurityAssociation::open_mode(),
            },
        }
    }

    /// What the next message brings along. A first one says who asks; later ones do when they are
    /// asked. Updates leave room for the cookie by which the home agent wants to see where we are.
    pub(super) fn elements(
        &self,
        purpose: Purpose,
        care_of: CareOfAddress,
        association: &SecurityAssociation,
    ) -> Elements {
        let cookie = |asked: Option<Cookie>, room: bool| asked.or(room.then_some(Cookie::NONE));
        let update = purpose == Purpose::Update;
        match self {
            Self::Shared(keys) => Elements {
                key_share: None,
                cookie: cookie(keys.cookie(association), update),
                token: None,
            },
            Self::Agreed(agreement) => {
                let first = purpose == Purpose::First;
                let introduced = first || agreement.cookie.is_some();
                let token = agreement.token.filter(|(_, given_at)| *given_at == care_of);
                let returns = first && agreement.cookie.is_none();
                Elements {
                    key_share: introduced.then(|| agreement.pair.public()),
                    cookie: cookie(agreement.cookie, introduced || update),
                    token: token.filter(|_| returns).map(|(token, _)| token),
                }
            }
        }
    }

    /// What an acknowledgement says, once it is known whose it is.
    ///
    /// What is authenticated with the published key could be anybody's on the way: it may ask for
    /// another message, and before there is a key it may refuse. It never grants anything.
    pub(super) fn verify(
        &self,
        acknowledgement: &Acknowledgement<'_>,
        identity: &Identity,
        request: &Request,
    ) -> Result<Verdict, Drop> {
        let agreement = match self {
            Self::Shared(keys) => {
                let association = keys.find(request.spi);
                let association = association.ok_or(Drop::AuthenticationFailed)?;
                return acknowledgement.verify(association, identity, request);
            }
            Self::Agreed(agreement) => agreement,
        };
        let unproven = || {
            let published = SecurityAssociation::open_mode();
            acknowledgement.verify(&published, identity, request)
        };
        match &agreement.made {
            None => match unproven()? {
                verdict @ (Verdict::Challenged(_) | Verdict::Refused(_)) => Ok(verdict),
                Verdict::Disowned(_) | Verdict::NotFresh(_) | Verdict::WrongHomeAgent { .. } => {
                    Ok(Verdict::Refused(acknowledgement.refusal()))
                }
                Verdict::Accepted { .. } => Err(Drop::Unprotected),
            },
            Some(made) => match acknowledgement.verify(&made.association, identity, request) {
                Err(Drop::AuthenticationFailed) => match unproven() {
                    Ok(verdict @ Verdict::Challenged(_)) => Ok(verdict),
                    Ok(_) | Err(_) => Err(Drop::AuthenticationFailed),
                },
                other => other,
            },
        }
    }

    /// How many keys there are to try.
    pub(super) const fn keys(&self) -> usize {
        match self {
            Self::Shared(keys) => keys.count(),
            Self::Agreed(_) => 1,
        }
    }

    /// Whether the shared key with this index goes with nonces in messages of this family.
    pub(super) fn uses_nonces(&self, spi: u32, family: Family) -> bool {
        match self {
            Self::Shared(keys) => keys
                .find(spi)
                .is_some_and(|association| association.uses_nonces(family)),
            Self::Agreed(_) => false,
        }
    }

    /// The home agent has the shared key with this index.
    pub(super) fn answered(&mut self, spi: u32) {
        if let Self::Shared(keys) = self {
            keys.set_answered(spi);
        }
    }

    /// Takes what a home agent at this address asks to be sent back.
    pub(super) fn challenged(
        &mut self,
        challenge: Challenge,
        address: IpAddr,
        identity: &Identity,
        now: Instant,
    ) -> Result<Challenged, Drop> {
        let Self::Agreed(agreement) = self else {
            return Err(Drop::UnexpectedMessage);
        };
        match (challenge.key_share, &agreement.made) {
            (Some(key), Some(made)) if key != made.key => {
                agreement.other_keys = agreement.other_keys.saturating_add(1);
                let since = *agreement.other_since.get_or_insert(now);
                let early = agreement.other_keys < NEW_HOME_AGENT
                    || now.saturating_duration_since(since) < NEW_HOME_AGENT_AFTER;
                if agreement.pinned.is_some() || early {
                    return Err(Drop::OtherKey);
                }
                self.start_over();
                return Ok(Challenged::NewHomeAgent);
            }
            (Some(_) | None, Some(_)) => {}
            (Some(key), None) => {
                let agreed = agreement.agree(key, address, identity);
                if agreed.is_err() {
                    agreement.other_keys = agreement.other_keys.saturating_add(1);
                }
                agreed?;
            }
            (None, None) => return Err(Drop::UnexpectedMessage),
        }
        agreement.cookie = Some(challenge.cookie);
        Ok(Challenged::Answerable)
    }

    /// The key the home agent has, if somebody has just come with another one for the first time.
    pub(super) fn expected_key(&self) -> Option<PublicKey> {
        let Self::Agreed(agreement) = self else {
            return None;
        };
        let made = agreement.made.as_ref().map(|made| made.key);
        (agreement.pinned.map(Pin::key).or(made)).filter(|_| agreement.other_keys == 1)
    }

    /// Whether all who answered have another key than the pinned one.
    pub(super) fn met_others_only(&self) -> bool {
        matches!(self, Self::Agreed(agreement)
            if agreement.pinned.is_some() && agreement.other_keys > 0)
    }

    /// The home agent has what it needs or, with a cookie, wants to see that we are where it sent it.
    /// A token, given for this care-of address, is for the next time.
    pub(super) fn accepted(
        &mut self,
        asked: Option<Cookie>,
        given: Option<(ResumptionToken, CareOfAddress)>,
    ) {
        match self {
            Self::Shared(keys) => keys.set_cookie(asked),
            Self::Agreed(agreement) => {
                agreement.cookie = asked;
                agreement.token = given.or(agreement.token);
                agreement.other_keys = 0;
                agreement.other_since = None;
            }
        }
    }

    /// Another home agent is asked: nothing is agreed with that one.
    pub(super) fn start_over(&mut self) {
        if let Self::Agreed(agreement) = self {
            **agreement = Agreement::new(agreement.pair.clone(), agreement.pinned);
        }
    }
}

impl Elements {
    /// Those there are, in the order in which messages have them.
    pub(super) fn iter(self) -> impl Iterator<Item = KeyAgreement> {
        [
            self.key_share.map(KeyAgreement::KeyShare),
            self.cookie.map(KeyAgreement::Cookie),
            self.token.map(KeyAgreement::ResumptionToken),
        ]
        .into_iter()
        .flatten()
    }
}

impl Agreement {
    /// With nobody yet.
    const fn new(pair: KeyPair, pinned: Option<Pin>) -> Self {
        Self {
            pair,
            pinned,
            made: None,
            cookie: None,
            token: None,
            other_keys: 0,
            other_since: None,
        }
    }

    /// The one of the last binding with this home agent.
    fn of_acquaintance(
        agent: HomeAgentAddress,
        pinned: Option<Pin>,
        context: &Context<'_>,
    ) -> Option<Self> {
        let unix_time = context.wall.unix_time(context.now);
        let known = context.memory.acquaintance.as_ref()?;
        let usable = known.is_fresh(unix_time) && known.agreement.address == agent.ip();
        let stored = usable.then_some(&known.agreement)?;
        let mut agreement = Self::resume(stored, pinned, &context.config.identity)?;
        agreement.token = known.token();
        Some(agreement)
    }

    fn resume(stored: &StoredAgreement, pinned: Option<Pin>, identity: &Identity) -> Option<Self> {
        let mut secret = zeroize::Zeroizing::new([0; 32]);
        hex::decode_to_slice(&stored.secret, &mut *secret).ok()?;
        let mut agreement = Self::new(KeyPair::new(*secret), pinned);
        let key = stored.key.parse().ok()?;
        agreement.agree(key, stored.address, identity).ok()?;
        Some(agreement)
    }

    fn agree(&mut self, key: PublicKey, address: IpAddr, identity: &Identity) -> Result<(), Drop> {
        if self.pinned.is_some_and(|pinned| pinned.key() != key) {
            return Err(Drop::OtherKey);
        }
        let association = self
            .pair
            .with_home_agent(&key, address, identity)
            .ok_or(Drop::OtherKey)?;
        self.made = Some(Made {
            key,
            address,
            association,
        });
        Ok(())
    }
}
