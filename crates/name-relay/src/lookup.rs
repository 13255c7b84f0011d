//! The relay's own questions, through hickory-resolver: by full name, to the
//! same name servers, never through `/etc/resolv.conf` (it names the relay).

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RData, RecordType};
use hickory_resolver::Resolver as HickoryResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::iocompat::AsyncIoTokioAsStd;
use hickory_resolver::net::runtime::{RuntimeProvider, TokioHandle, TokioTime};
use hickory_resolver::net::{DnsError, NetError};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::family::Family;
use crate::message;
use crate::socket::Sockets;

/// How long one name server is asked before the next.
const SERVER_PATIENCE: Duration = Duration::from_millis(1500);
/// How long a TCP connection to a name server may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(2);
/// How long an answer without SOA counts, and one that says the name servers
/// cannot tell (RFC 2308 7.1).
const UNSURE_TTL: Duration = Duration::from_secs(5);

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
    /// Nobody could tell.
    Failed { ttl: Duration },
}

/// What is known of a name's texts.
#[derive(Debug, Clone)]
pub(crate) struct Texts {
    pub(crate) texts: Vec<Vec<u8>>,
    pub(crate) ttl: Duration,
}

/// Why there are no records.
#[derive(Debug, Clone, Copy)]
enum Miss {
    /// There are none.
    Nothing { ttl: Duration },
    /// Nobody could tell.
    Failed { ttl: Duration },
}

/// Asks name servers for addresses and texts.
#[derive(Clone)]
pub(crate) struct Resolver(Vec<(SocketAddr, HickoryResolver<Provider>)>);

impl Resolver {
    pub(crate) fn new(servers: &[SocketAddr], sockets: &Sockets) -> Self {
        Self(
            servers
                .iter()
                .filter_map(|server| match build(*server, sockets.clone()) {
                    Ok(resolver) => Some((*server, resolver)),
                    Err(error) => {
                        tracing::warn!(%error, "a name server cannot be asked for agents");
                        None
                    }
                })
                .collect(),
        )
    }

    /// The addresses of `name`, asking the name servers in `order`.
    pub(crate) async fn addresses(
        &self,
        name: Name,
        family: Family,
        order: impl IntoIterator<Item = SocketAddr>,
    ) -> Answer {
        match self.records(name, family.record_type(), order).await {
            Ok(lookup) => addresses(&lookup, family),
            Err(Miss::Nothing { ttl }) => Answer::Nothing { ttl },
            Err(Miss::Failed { ttl }) => Answer::Failed { ttl },
        }
    }

    /// The texts of `name`, each in one piece; none where there are none or
    /// nobody could tell.
    pub(crate) async fn texts(
        &self,
        name: Name,
        order: impl IntoIterator<Item = SocketAddr>,
    ) -> Texts {
        match self.records(name, RecordType::TXT, order).await {
            Ok(lookup) => texts(&lookup),
            Err(Miss::Nothing { ttl } | Miss::Failed { ttl }) => Texts {
                texts: Vec::new(),
                ttl,
            },
        }
    }

    async fn records(
        &self,
        name: Name,
        kind: RecordType,
        order: impl IntoIterator<Item = SocketAddr>,
    ) -> Result<Lookup, Miss> {
        let mut failed = Miss::Failed {
            ttl: Duration::ZERO,
        };
        for server in order {
            let Some((_, resolver)) = self.0.iter().find(|(other, _)| *other == server) else {
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

fn build(server: SocketAddr, sockets: Sockets) -> Result<HickoryResolver<Provider>, NetError> {
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
    HickoryResolver::builder_with_config(config, Provider::new(sockets, server))
        .with_options(options)
        .build()
}

async fn ask(
    resolver: &HickoryResolver<Provider>,
    mut name: Name,
    kind: RecordType,
) -> Result<Lookup, Miss> {
    name.set_fqdn(true);
    match timeout(SERVER_PATIENCE, resolver.lookup(name, kind)).await {
        Ok(answer) => answer.map_err(|error| miss(&error)),
        Err(_elapsed) => Err(Miss::Failed {
            ttl: Duration::ZERO,
        }),
    }
}

fn addresses(lookup: &Lookup, family: Family) -> Answer {
    let mut addresses = Vec::new();
    let mut owner = None;
    let mut ttl = u32::MAX;
    for record in lookup.answers() {
        ttl = ttl.min(record.ttl);
        if let Some(address) = record.data.ip_addr()
            && family.has(address)
            && message::is_usable(address)
        {
            owner = Some(record.name.clone());
            addresses.push(address);
        }
    }
    match owner {
        Some(owner) => Answer::Addresses {
            addresses,
            owner,
            ttl: Duration::from_secs(ttl.into()),
        },
        None => Answer::Nothing { ttl: UNSURE_TTL },
    }
}

fn texts(lookup: &Lookup) -> Texts {
    let mut texts = Vec::new();
    let mut ttl = u32::MAX;
    for record in lookup.answers() {
        ttl = ttl.min(record.ttl);
        if let RData::TXT(text) = &record.data {
            texts.push(text.txt_data.concat());
        }
    }
    let ttl = match texts.is_empty() {
        true => UNSURE_TTL,
        false => Duration::from_secs(ttl.into()),
    };
    Texts { texts, ttl }
}

fn miss(error: &NetError) -> Miss {
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
            ttl: none
                .negative_ttl
                .map_or(UNSURE_TTL, |ttl| Duration::from_secs(ttl.into())),
        };
    }
    Miss::Failed { ttl: UNSURE_TTL }
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
