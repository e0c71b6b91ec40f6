//! Live channels between clients and the two sides. A `tunnel` passes the bytes of an upgraded connection on unread. A
//! bridge ends the client's connection here and holds legs to Node and to native: `engineio` is the server that the
//! client talks to, `session` takes each Socket.IO packet to its side, `leg`, `node` and `native` are the far ends.

mod asked;
mod crowd;
pub(crate) mod engineio;
mod frames;
mod handshake;
mod held;
mod leg;
mod namespace;
mod native;
mod node;
mod packet;
mod replays;
pub(crate) mod rewind;
mod runtimes;
mod session;
mod tagged;
pub(crate) mod tunnel;
mod unit;
mod websocket;

use std::collections::HashMap;
use std::fmt::Display;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_channel::mpsc;
use futures_util::{SinkExt, StreamExt};
use http::Uri;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::bridge::engineio::{Answer, Limits, Query, Session, Visit};
use crate::bridge::node::NodeLeg;
use crate::bridge::session::{Bridge, Client, Company};
use crate::bridge::tagged::{Tagged, door};
use crate::budget::Budget;
use crate::config::Socket;
use crate::live::{Live, Snapshot};
use crate::metrics::Metrics;
use crate::native::events::EventService;

use handshake::compact;

pub(crate) use handshake::Handshake;
pub(crate) use leg::OpenPacket;
pub(crate) use node::{NoLeg, NodeSession, Template};
pub(crate) use runtimes::Runtimes;
pub(crate) use tagged::door::{Denied, NoNative};

/// Requests that may wait for one session.
const MAILBOX: usize = 16;

/// How long a session that has ended is known as such.
const REMEMBERED: Duration = Duration::from_secs(10);

/// How long the stream of an accepted upgrade may take to come.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(10);

/// What all bridges of a process share.
pub(crate) struct Surroundings {
    pub(crate) live: Arc<Live>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) budget: Arc<Budget>,
    /// The native handlers, if the application has any.
    pub(crate) native: Option<EventService>,
    /// The application's router, for tagged channels.
    pub(crate) router: Option<Router>,
    /// Where the application handles events, and its side of tagged channels. No session runs there: a handler that hogs its
    /// thread must not keep messages from Node, or heartbeats from anybody.
    pub(crate) handlers: Runtimes,
    /// True from the first signal on.
    pub(crate) stop: watch::Receiver<bool>,
}

impl Surroundings {
    /// Counts how native took a client, by one of `NATIVE_RESULTS`. All but the first are logged, for Node may answer for
    /// native so well that nobody notices.
    fn native_took(&self, socket: &str, result: &'static str, answer: impl Display) {
        let clients = &self.metrics.native_clients;
        clients.with_label_values(&[socket, result]).inc();
        if result == "accepted" {
            return;
        }
        let rule = format!("socket.{socket}");
        let answer = quoted(answer);
        self.live
            .log
            .log(("native client", socket, result), move |count| {
                warn!(
                    rule,
                    reason = result,
                    count,
                    answer,
                    "native did not take a client"
                );
            });
    }

    /// Counts a leg to Node that is lost and opened again.
    fn lost_node(&self, socket: &str) {
        let losses = &self.metrics.node_losses;
        losses.with_label_values(&[socket]).inc();
        self.live.node.suspect();
        let rule = format!("socket.{socket}");
        self.live.log.log(("leg lost", socket), move |count| {
            warn!(rule, count, "legs to node were lost and are opened again");
        });
    }
}

/// Makes the words of an application fit for one line of the log.
fn quoted(text: impl Display) -> String {
    /// Characters that are shown.
    const SHOWN: usize = 100;
    let text = text.to_string();
    text.chars()
        .take(SHOWN)
        .flat_map(char::escape_debug)
        .collect()
}

/// All sessions, and the threads that they run on.
pub(crate) struct Bridges {
    surroundings: Arc<Surroundings>,
    /// Where sessions run.
    runtimes: Runtimes,
    sessions: Sessions,
    /// By the id of the socket.
    companies: Mutex<HashMap<String, Arc<Company>>>,
    /// Clients that wait for Node, which they need: its port refuses connections.
    waiting: Arc<AtomicUsize>,
    tasks: TaskTracker,
}

/// How it went to reach Node for a new client.
enum Reached {
    Node(Box<(NodeLeg, NodeSession)>),
    NotNeeded,
    /// The client waits.
    Later(Waiting),
}

/// A client that waits for Node.
#[derive(Debug)]
pub(crate) struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    fn admit(waiting: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        let before = waiting.fetch_add(1, Relaxed);
        let admitted = Self(Arc::clone(waiting));
        (before < most).then_some(admitted)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// A client at the door.
pub(crate) struct Arrival {
    /// Where its socket stands in the table of `snapshot`.
    pub(crate) socket: usize,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) handshake: Handshake,
    pub(crate) transport: Transport,
}

/// What it came with.
pub(crate) enum Transport {
    /// A request, which gets the open packet, and the session that Node has opened for it, if Node was asked.
    Polling(oneshot::Sender<Answer>, Option<Box<NodeSession>>),
    /// An upgrade, whose stream follows as the first visit.
    WebSocket,
}

/// A session, as requests see it.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// The id of its socket.
    pub(crate) socket: Arc<str>,
    mailbox: mpsc::Sender<Visit>,
    /// For every answer.
    pub(crate) template: Arc<Template>,
    /// For the 101 of an upgrade.
    pub(crate) switched: Arc<Template>,
    pub(crate) max_payload: usize,
    /// Where the session runs.
    pub(crate) runtime: Handle,
}

impl Entry {
    /// Brings a visit to the session.
    ///
    /// # Errors
    /// When it has ended.
    pub(crate) async fn visit(&self, visit: Visit) -> Result<(), Ended> {
        self.mailbox.clone().send(visit).await.map_err(|_| Ended)
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.mailbox.is_closed()
    }
}

/// A session is over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended;

/// A WebSocket that a side has accepted.
pub(crate) struct Accepted {
    /// What that side said with its 101.
    pub(crate) template: Template,
    /// Where the client's stream is waited for.
    pub(crate) stream: oneshot::Sender<Box<dyn engineio::Stream>>,
    /// Where the bridge runs.
    pub(crate) runtime: Handle,
}

impl std::fmt::Debug for Bridges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bridges").finish_non_exhaustive()
    }
}

impl Bridges {
    pub(crate) fn new(surroundings: Surroundings, runtimes: Runtimes) -> Arc<Self> {
        Arc::new(Self {
            surroundings: Arc::new(surroundings),
            runtimes,
            sessions: Sessions::default(),
            companies: Mutex::default(),
            waiting: Arc::default(),
            tasks: TaskTracker::new(),
        })
    }

    /// The session of this id.
    pub(crate) fn find(&self, sid: &str) -> Option<Entry> {
        self.sessions.shard(sid).get(sid).cloned()
    }

    /// Whether a request names a session that lives here.
    pub(crate) fn has_session(&self, uri: &Uri) -> bool {
        let query = Query::parse(uri.query().unwrap_or_default());
        query.sid.is_some_and(|sid| self.find(&sid).is_some())
    }

    /// Waits for the bridges, which a stop tells to end.
    pub(crate) async fn finish(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Opens a session on one of the runtimes: first the leg to Node, whose answer decides.
    ///
    /// # Errors
    /// When Node refuses the client, or is away and needed.
    pub(crate) async fn open(self: &Arc<Self>, mut arrival: Arrival) -> Result<Entry, NoLeg> {
        let (reply, opened) = oneshot::channel();
        let bridges = Arc::clone(self);
        let begin = self.tasks.track_future(async move {
            match bridges.reach(&mut arrival).await {
                Err(error) => drop(reply.send(Err(error))),
                Ok(reached) => bridges.begin(arrival, reached, reply).await,
            }
        });
        self.runtimes.next().spawn(begin);
        opened.await.unwrap_or(Err(NoLeg::Stopping))
    }

    /// Asks Node where it is needed. While Node's port refuses connections, a client may wait, where the socket says so.
    async fn reach(&self, arrival: &mut Arrival) -> Result<Reached, NoLeg> {
        let table = &arrival.snapshot.table;
        if !table.needs_node(arrival.socket, "/") {
            return Ok(Reached::NotNeeded);
        }
        let legs = self.surroundings.metrics.legs.with_label_values(&["node"]);
        let (node, handshake) = (&arrival.snapshot.node, &arrival.handshake);
        let budget = &self.surroundings.budget;
        let polled = match &mut arrival.transport {
            Transport::Polling(_, session) => session.take(),
            Transport::WebSocket => None,
        };
        let opened = match polled {
            Some(mut session) => node::upgrade(node, handshake, &mut session, budget, legs)
                .await
                .map(|leg| (leg, *session)),
            None => node::open(node, handshake, budget, legs).await,
        };
        match opened {
            Ok(opened) => Ok(Reached::Node(Box::new(opened))),
            // Any other failure may be Node's way to refuse this client.
            Err(NoLeg::Away(error)) if error.is_refused_port() => {
                let socket = &table.config().sockets[arrival.socket];
                if !socket.node_loss.keeps_clients() {
                    return Err(NoLeg::Away(error));
                }
                let waiting = Waiting::admit(&self.waiting, socket.max_waiting);
                debug!(socket = %socket.id, %error, "a client waits for node");
                waiting.map(Reached::Later).ok_or(NoLeg::Crowded)
            }
            Err(error) => Err(error),
        }
    }

    /// Makes the session known and runs it, in a task of its own: this one holds room for all that comes before.
    async fn begin(
        self: Arc<Self>,
        arrival: Arrival,
        reached: Reached,
        reply: oneshot::Sender<Result<Entry, NoLeg>>,
    ) {
        let Arrival {
            socket,
            snapshot,
            handshake,
            transport,
        } = arrival;
        let settings = &snapshot.table.config().sockets[socket];
        let own = || NodeSession {
            sid: new_sid(),
            limits: limits(settings),
            template: own_template(settings, &handshake),
            switched: own_template(settings, &handshake),
        };
        let (leg, session, waiting) = match reached {
            Reached::Node(opened) => (Some(opened.0), opened.1, None),
            Reached::NotNeeded => (None, own(), None),
            Reached::Later(waiting) => (None, own(), Some(waiting)),
        };
        let NodeSession {
            sid,
            limits,
            template,
            switched,
        } = session;
        // One of Tokio would set aside 1.3 KB for each client.
        let (sender, mailbox) = mpsc::channel(MAILBOX);
        let entry = Entry {
            socket: Arc::from(settings.id.as_str()),
            mailbox: sender,
            template: Arc::new(template),
            switched: Arc::new(switched),
            max_payload: limits.max_payload,
            runtime: Handle::current(),
        };
        let mut known = entry.clone();
        if matches!(transport, Transport::WebSocket) {
            // Its one answer is the 101; later ones are few, and need not look like Node's to the letter.
            known.template = Arc::new(Template {
                headers: compact(&entry.template.headers),
                ..Template::default()
            });
        }
        let registration = Registration::new(&self, sid.clone(), known);
        let company = self.company(&settings.id);
        if reply.send(Ok(entry)).is_err() {
            debug!("a client left before its handshake was done");
            return;
        }
        let session = match transport {
            Transport::Polling(first, _) => Session::polling(&sid, limits, mailbox, first),
            Transport::WebSocket => match first_stream(mailbox).await {
                Some((stream, mailbox)) => Session::websocket(&sid, limits, mailbox, stream),
                None => return,
            },
        };
        let client = Client {
            handshake,
            socket,
            snapshot,
            leg,
            company,
            waiting,
        };
        let bridge = Bridge::new(Arc::clone(&self.surroundings), client, session);
        let run = Box::new(bridge).run(registration);
        tokio::spawn(self.tasks.track_future(run));
    }

    /// Opens a tagged WebSocket: whoever is needed first accepts the client, or refuses it.
    ///
    /// # Errors
    /// When that side refuses the client, or Node is away and needed.
    pub(crate) async fn open_tagged(
        self: &Arc<Self>,
        snapshot: Arc<Snapshot>,
        socket: usize,
        handshake: Handshake,
    ) -> Result<Accepted, Denied> {
        let (reply, opened) = oneshot::channel();
        let bridges = Arc::clone(self);
        let begin = self.tasks.track_future(async move {
            let surroundings = Arc::clone(&bridges.surroundings);
            let waiting = &bridges.waiting;
            let accepted =
                door::accept(&surroundings, waiting, &snapshot, socket, &handshake).await;
            let (first, template) = match accepted {
                Ok(accepted) => accepted,
                Err(denied) => return drop(reply.send(Err(denied))),
            };
            let (stream, arrives) = oneshot::channel();
            let accepted = Accepted {
                template,
                stream,
                runtime: Handle::current(),
            };
            if reply.send(Ok(accepted)).is_err() {
                debug!("a client left before its handshake was done");
                return;
            }
            let run = async move {
                let Ok(Ok(stream)) = timeout(UPGRADE_TIMEOUT, arrives).await else {
                    return;
                };
                Tagged::new(surroundings, handshake, stream, first, snapshot, socket)
                    .run()
                    .await;
            };
            tokio::spawn(bridges.tasks.track_future(run));
        });
        self.runtimes.next().spawn(begin);
        let stopping = Err(Denied::ByNode(NoLeg::Stopping));
        opened.await.unwrap_or(stopping)
    }

    fn company(&self, socket: &str) -> Arc<Company> {
        let companies = self.companies.lock();
        let mut companies = companies.unwrap_or_else(PoisonError::into_inner);
        Arc::clone(companies.entry(socket.to_owned()).or_default())
    }
}

/// The stream of a client that came with an upgrade.
async fn first_stream(
    mut mailbox: mpsc::Receiver<Visit>,
) -> Option<(Box<dyn engineio::Stream>, mpsc::Receiver<Visit>)> {
    match timeout(UPGRADE_TIMEOUT, mailbox.next()).await {
        Ok(Some(Visit::WebSocket(stream))) => Some((stream, mailbox)),
        _ => None,
    }
}

/// As `base64id` makes them for Node: 20 characters.
fn new_sid() -> String {
    let mut bytes = [0; 15];
    // Without random bytes the ids of two clients would be one; no system that runs this has none.
    SystemRandom::new()
        .fill(&mut bytes)
        .expect("the system gives random bytes");
    URL_SAFE_NO_PAD.encode(bytes)
}

fn limits(socket: &Socket) -> Limits {
    Limits {
        ping_interval: socket.ping_interval,
        ping_timeout: socket.ping_timeout,
        max_payload: socket.max_payload,
    }
}

/// Without Node, nobody else says what other origins may do.
fn own_template(socket: &Socket, handshake: &Handshake) -> Template {
    let mut template = Template::default();
    let headers = &mut template.headers;
    let origin = handshake.headers.get(http::header::ORIGIN);
    if let (Some(allowed), Some(_)) = (&socket.cors_origin, origin)
        && let Ok(allowed) = http::HeaderValue::try_from(allowed)
    {
        headers.insert(http::header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        headers.insert(http::header::VARY, http::HeaderValue::from_static("Origin"));
    }
    template
}

const SHARDS: usize = 16;

/// From any thread to a session.
#[derive(Debug, Default)]
struct Sessions {
    hasher: RandomState,
    shards: [Mutex<HashMap<String, Entry>>; SHARDS],
}

impl Sessions {
    fn shard(&self, sid: &str) -> MutexGuard<'_, HashMap<String, Entry>> {
        let hash = self.hasher.hash_one(sid);
        let shard = usize::try_from(hash % SHARDS as u64).unwrap_or_default();
        self.shards[shard]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a session known while it lives.
pub(crate) struct Registration {
    bridges: Arc<Bridges>,
    sid: String,
}

impl Registration {
    fn new(bridges: &Arc<Bridges>, sid: String, entry: Entry) -> Self {
        let mut shard = bridges.sessions.shard(&sid);
        shard.insert(sid.clone(), entry);
        drop(shard);
        bridges.surroundings.metrics.bridges.inc();
        Self {
            bridges: Arc::clone(bridges),
            sid,
        }
    }
}

impl Drop for Registration {
    /// For a while the session is still known as one that has ended. Node would say that its transport is another,
    /// until it has seen the end of the leg.
    fn drop(&mut self) {
        self.bridges.surroundings.metrics.bridges.dec();
        let (bridges, sid) = (Arc::clone(&self.bridges), std::mem::take(&mut self.sid));
        tokio::spawn(async move {
            sleep(REMEMBERED).await;
            bridges.sessions.shard(&sid).remove(&sid);
        });
    }
}

#[cfg(test)]
mod tests;
