//! The relay's own questions, through hickory-resolver: by full name, to the
//! same name servers, never through `/etc/resolv.conf` (it names the relay).

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, Record, RecordType};
use hickory_resolver::Resolver as HickoryResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::iocompat::AsyncIoTokioAsStd;
use hickory_resolver::net::runtime::{RuntimeProvider, TokioHandle, TokioTime};
use hickory_resolver::net::{DnsError, NetError, NoRecords};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::chain::{Answer, Chain, Texts, UNSURE_TTL};
use crate::family::Family;
use crate::socket::Sockets;
use crate::trust_anchor::TrustAnchor;

/// How long one name server is asked before the next.
const SERVER_PATIENCE: Duration = Duration::from_millis(1500);
/// How long a TCP connection to a name server may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(2);

/// Why there are no records.
#[derive(Debug, Clone, Copy)]
enum Miss {
    /// There are none; with what signatures say so about the very name that was
    /// asked for, it is proven.
    Nothing { ttl: Duration, proven: bool },
    /// Nobody could tell.
    Failed { ttl: Duration },
}

/// Asks name servers for addresses and texts. With a trust anchor, only what is
/// signed counts.
#[derive(Clone)]
pub(crate) struct Resolver {
    servers: Vec<(SocketAddr, HickoryResolver<Provider>)>,
    validates: bool,
}

impl Resolver {
    pub(crate) fn new(
        servers: &[SocketAddr],
        sockets: &Sockets,
        anchor: Option<&TrustAnchor>,
    ) -> Self {
        let servers = servers
            .iter()
            .filter_map(|server| match build(*server, sockets.clone(), anchor) {
                Ok(resolver) => Some((*server, resolver)),
                Err(error) => {
                    tracing::warn!(%error, "a name server cannot be asked for agents");
                    None
                }
            })
            .collect();
        Self {
            servers,
            validates: anchor.is_some(),
        }
    }

    /// The addresses of `name`, asking the name servers in `order`.
    pub(crate) async fn addresses(
        &self,
        name: Name,
        family: Family,
        order: impl IntoIterator<Item = SocketAddr>,
    ) -> Answer {
        match self.records(&name, family.record_type(), order).await {
            Ok(lookup) => Chain::from(&name, &lookup, self.validates).addresses(family),
            Err(Miss::Nothing { ttl, .. }) => Answer::Nothing { ttl },
            Err(Miss::Failed { ttl }) => Answer::Failed { ttl },
        }
    }

    /// The texts of `name`, asking the name servers in `order`.
    pub(crate) async fn texts(
        &self,
        name: Name,
        order: impl IntoIterator<Item = SocketAddr>,
    ) -> Texts {
        match self.records(&name, RecordType::TXT, order).await {
            Ok(lookup) => Chain::from(&name, &lookup, self.validates).texts(),
            Err(Miss::Nothing { ttl, proven }) if proven || !self.validates => {
                Texts::Nothing { ttl }
            }
            Err(Miss::Nothing { ttl, .. } | Miss::Failed { ttl }) => Texts::Unproven { ttl },
        }
    }

    async fn records(
        &self,
        name: &Name,
        kind: RecordType,
        order: impl IntoIterator<Item = SocketAddr>,
    ) -> Result<Lookup, Miss> {
        let mut failed = Miss::Failed {
            ttl: Duration::ZERO,
        };
        for server in order {
            let Some((_, resolver)) = self.servers.iter().find(|(other, _)| *other == server)
            else {
                continue;
            };
            match ask(resolver, name.clone(), kind).await {
                Err(miss @ Miss::Failed { .. }) => failed = miss,
                answer => return answer,
            }
        }
        Err(failed)
    }
}

fn build(
    server: SocketAddr,
    sockets: Sockets,
    anchor: Option<&TrustAnchor>,
) -> Result<HickoryResolver<Provider>, NetError> {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()]
        .into_iter()
        .map(|mut connection| {
            connection.port = server.port();
            connection
        })
        .collect();
    let config = ResolverConfig::from_parts(
        None,
        vec![],
        vec![NameServerConfig::new(server.ip(), true, connections)],
    );
    let mut options = ResolverOpts::default();
    options.timeout = SERVER_PATIENCE;
    options.attempts = 1;
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    // Each alias has to be signed like what it leads to.
    options.preserve_intermediates = true;
    let builder = HickoryResolver::builder_with_config(config, Provider::new(sockets, server))
        .with_options(options);
    match anchor {
        Some(anchor) => builder.with_trust_anchor(anchor.keys()).build(),
        None => builder.build(),
    }
}

async fn ask(
    resolver: &HickoryResolver<Provider>,
    mut name: Name,
    kind: RecordType,
) -> Result<Lookup, Miss> {
    name.set_fqdn(true);
    match timeout(SERVER_PATIENCE, resolver.lookup(name.clone(), kind)).await {
        Ok(answer) => answer.map_err(|error| miss(&name, &error)),
        Err(_elapsed) => Err(Miss::Failed {
            ttl: Duration::ZERO,
        }),
    }
}

fn miss(name: &Name, error: &NetError) -> Miss {
    let NetError::Dns(error) = error else {
        // An unreachable name server may be back the next moment.
        return Miss::Failed {
            ttl: Duration::ZERO,
        };
    };
    if let DnsError::NoRecordsFound(none) = error
        && matches!(
            none.response_code,
            ResponseCode::NXDomain | ResponseCode::NoError
        )
    {
        return Miss::Nothing {
            ttl: negative_ttl(none),
            proven: is_proven(name, none),
        };
    }
    Miss::Failed { ttl: UNSURE_TTL }
}

/// Whether signatures deny this name or its records. What hickory-resolver lets pass
/// without a denial is of a zone that is not signed; what it was led to by an
/// alias says nothing of the alias.
fn is_proven(name: &Name, none: &NoRecords) -> bool {
    let denies = |record: &Record| {
        let kind = record.record_type();
        matches!(kind, RecordType::NSEC | RecordType::NSEC3) && record.proof.is_secure()
    };
    let authorities = none.authorities.as_deref().unwrap_or_default();
    none.query.name() == name && authorities.iter().any(denies)
}

/// RFC 2308 5. Of validated answers hickory-resolver leaves the reckoning to us.
fn negative_ttl(none: &NoRecords) -> Duration {
    let soa = none.soa.as_ref();
    none.negative_ttl
        .or_else(|| soa.map(|soa| soa.ttl.min(soa.data.minimum)))
        .map_or(UNSURE_TTL, |ttl| Duration::from_secs(ttl.into()))
}

/// Gives hickory-resolver the relay's marked sockets toward one name server.
/// hickory-resolver knows its address without the scope, so that is added here.
#[derive(Clone)]
pub(crate) struct Provider {
    handle: TokioHandle,
    sockets: Sockets,
    server: SocketAddr,
}

impl Provider {
    fn new(sockets: Sockets, server: SocketAddr) -> Self {
        Self {
            handle: TokioHandle::default(),
            sockets,
            server,
        }
    }
}

impl RuntimeProvider for Provider {
    type Handle = TokioHandle;
    type Timer = TokioTime;
    type Udp = UdpSocket;
    type Tcp = AsyncIoTokioAsStd<TcpStream>;

    fn create_handle(&self) -> Self::Handle {
        self.handle.clone()
    }

    fn connect_tcp(
        &self,
        _server: SocketAddr,
        _local: Option<SocketAddr>,
        patience: Option<Duration>,
    ) -> Pin<Box<dyn Send + Future<Output = io::Result<Self::Tcp>>>> {
        let Self {
            sockets, server, ..
        } = self.clone();
        Box::pin(async move {
            let connected = timeout(patience.unwrap_or(CONNECT_PATIENCE), sockets.tcp_to(server))
                .await
                .map_err(|_elapsed| io::Error::from(io::ErrorKind::TimedOut))?;
            Ok(AsyncIoTokioAsStd(connected?))
        })
    }

    fn bind_udp(
        &self,
        local: SocketAddr,
        _server: SocketAddr,
    ) -> Pin<Box<dyn Send + Future<Output = io::Result<Self::Udp>>>> {
        let socket = self.sockets.udp_toward(self.server, local);
        Box::pin(async move { socket })
    }
}
