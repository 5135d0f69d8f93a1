//! Who is next. Pure: the time comes in, tickets come out.
//!
//! ```text
//!   gate (a connection's limits, and a method's)
//!     └─ cycle, in turn ── loop, in turn ── requests, in order
//! ```
//!
//! All that wait at one gate wait for the same, so only gates are looked at, not requests. Among open
//! gates the cycle is next that was served longest ago.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use velodrome_spec::connector::Limits;
use velodrome_types::{ConnectionId, CycleId, LoopId, Timestamp};

use super::lane::{Lane, Opening};

/// Who asks, in whose turn.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Party {
    pub(super) cycle: Option<CycleId>,
    pub(super) member: Option<LoopId>,
}

/// Whose limits a request waits for; the method where it has limits of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct GateId {
    pub(super) connection: ConnectionId,
    pub(super) method: Option<Arc<str>>,
}

/// A request that waits.
pub(super) type Ticket = u64;

/// Those that wait at one gate.
#[derive(Debug, Default)]
struct Gate {
    cycles: HashMap<Option<CycleId>, Members>,
}

/// The loops of one cycle in turn, each with its requests in order.
#[derive(Debug, Default)]
struct Members {
    turn: VecDeque<Option<LoopId>>,
    requests: HashMap<Option<LoopId>, VecDeque<Ticket>>,
}

/// When a cycle was served last, as a count of servings, and how many of its requests wait.
#[derive(Clone, Copy, Debug)]
struct Served {
    last: u64,
    waiting: usize,
}

/// What waits and what is under way.
#[derive(Debug)]
pub(super) struct Queue {
    workers: usize,
    under_way: usize,
    connections: HashMap<ConnectionId, Lane>,
    methods: HashMap<GateId, Lane>,
    gates: HashMap<GateId, Gate>,
    served: HashMap<Option<CycleId>, Served>,
    servings: u64,
    tickets: u64,
}

impl Queue {
    pub(super) fn new(workers: usize) -> Self {
        Self {
            workers: workers.max(1),
            under_way: 0,
            connections: HashMap::new(),
            methods: HashMap::new(),
            gates: HashMap::new(),
            served: HashMap::new(),
            servings: 0,
            tickets: 0,
        }
    }

    /// Takes the limits as they are now.
    pub(super) fn limit(&mut self, gate: &GateId, connection: &Limits, method: &Limits) {
        self.lane(&gate.connection).take(connection);
        if gate.method.is_some() {
            match self.methods.get_mut(gate) {
                Some(lane) => lane.take(method),
                None => self.methods.entry(gate.clone()).or_default().take(method),
            }
        }
    }

    fn lane(&mut self, connection: &ConnectionId) -> &mut Lane {
        if !self.connections.contains_key(connection) {
            self.connections.insert(connection.clone(), Lane::default());
        }
        self.connections
            .get_mut(connection)
            .expect("it was put there a line before")
    }

    /// Whether a request could leave by this gate now, were there a worker.
    pub(super) fn opening(&mut self, gate: &GateId, now: Timestamp) -> Opening {
        let connection = self.lane(&gate.connection).opening(now);
        match self.methods.get_mut(gate) {
            Some(method) => connection.and(method.opening(now)),
            None => connection,
        }
    }

    /// Whether a request may leave at once, before nobody who waits.
    pub(super) fn goes(&mut self, gate: &GateId, now: Timestamp) -> bool {
        let waits = self.gates.contains_key(gate);
        let goes =
            !waits && self.under_way < self.workers && self.opening(gate, now) == Opening::Now;
        if goes {
            self.leaves(gate, now);
        }
        goes
    }

    fn leaves(&mut self, gate: &GateId, now: Timestamp) {
        self.under_way += 1;
        self.lane(&gate.connection).leaves(now);
        if let Some(method) = self.methods.get_mut(gate) {
            method.leaves(now);
        }
    }

    /// A request has ended.
    pub(super) fn ended(&mut self, gate: &GateId) {
        self.under_way = self.under_way.saturating_sub(1);
        self.lane(&gate.connection).ended();
        if self.lane(&gate.connection).is_idle() {
            self.connections.remove(&gate.connection);
        }
        if let Some(method) = self.methods.get_mut(gate) {
            method.ended();
        }
    }

    /// The connection's own limits, to hold it back or to let it go.
    pub(super) fn of(&mut self, connection: &ConnectionId) -> &mut Lane {
        self.lane(connection)
    }

    /// Puts a request at the end of its party's.
    pub(super) fn wait(&mut self, gate: &GateId, party: &Party) -> Ticket {
        self.tickets += 1;
        let ticket = self.tickets;
        let now = self.servings + 1;
        let served = self.served.entry(party.cycle.clone()).or_insert_with(|| {
            // Behind all that wait, each of which is served once before it.
            Served {
                last: now,
                waiting: 0,
            }
        });
        if served.waiting == 0 {
            self.servings = now;
            served.last = now;
        }
        served.waiting += 1;
        let members = self
            .gates
            .entry(gate.clone())
            .or_default()
            .cycles
            .entry(party.cycle.clone())
            .or_default();
        let requests = members.requests.entry(party.member).or_default();
        if requests.is_empty() {
            members.turn.push_back(party.member);
        }
        requests.push_back(ticket);
        ticket
    }

    /// Takes back a request that waits no more.
    pub(super) fn withdraw(&mut self, gate: &GateId, party: &Party, ticket: Ticket) {
        let Some(waiting) = self.gates.get_mut(gate) else {
            return;
        };
        let Some(members) = waiting.cycles.get_mut(&party.cycle) else {
            return;
        };
        let Some(requests) = members.requests.get_mut(&party.member) else {
            return;
        };
        let Some(at) = requests.iter().position(|known| *known == ticket) else {
            return;
        };
        requests.remove(at);
        if requests.is_empty() {
            members.requests.remove(&party.member);
            members.turn.retain(|known| *known != party.member);
        }
        self.tidy(gate, &party.cycle);
    }

    fn tidy(&mut self, gate: &GateId, cycle: &Option<CycleId>) {
        if let Some(waiting) = self.gates.get_mut(gate) {
            if waiting
                .cycles
                .get(cycle)
                .is_some_and(|members| members.turn.is_empty())
            {
                waiting.cycles.remove(cycle);
            }
            if waiting.cycles.is_empty() {
                self.gates.remove(gate);
            }
        }
        if let Some(served) = self.served.get_mut(cycle) {
            served.waiting -= 1;
            if served.waiting == 0 {
                self.served.remove(cycle);
            }
        }
    }

    /// The next request that may leave now; it counts as under way from here on.
    pub(super) fn next(&mut self, now: Timestamp) -> Option<Ticket> {
        if self.under_way >= self.workers {
            return None;
        }
        let gates: Vec<GateId> = self.gates.keys().cloned().collect();
        let mut best: Option<((u64, Ticket), GateId, Option<CycleId>)> = None;
        for gate in gates {
            if self.opening(&gate, now) != Opening::Now {
                continue;
            }
            for (cycle, members) in &self.gates[&gate].cycles {
                let last = self.served.get(cycle).map_or(0, |served| served.last);
                let oldest = members
                    .turn
                    .front()
                    .and_then(|member| members.requests.get(member)?.front())
                    .copied();
                let rank = (last, oldest.unwrap_or(Ticket::MAX));
                if best.as_ref().is_none_or(|(known, ..)| rank < *known) {
                    best = Some((rank, gate.clone(), cycle.clone()));
                }
            }
        }
        let (_, gate, cycle) = best?;
        let ticket = self.serve(&gate, &cycle)?;
        self.leaves(&gate, now);
        Some(ticket)
    }

    /// The first request of the loop whose turn it is; the loop goes to the end of its cycle's.
    fn serve(&mut self, gate: &GateId, cycle: &Option<CycleId>) -> Option<Ticket> {
        let members = self.gates.get_mut(gate)?.cycles.get_mut(cycle)?;
        let member = members.turn.pop_front()?;
        let requests = members.requests.get_mut(&member)?;
        let ticket = requests.pop_front()?;
        if requests.is_empty() {
            members.requests.remove(&member);
        } else {
            members.turn.push_back(member);
        }
        self.servings += 1;
        if let Some(served) = self.served.get_mut(cycle) {
            served.last = self.servings;
        }
        self.tidy(gate, cycle);
        Some(ticket)
    }

    /// When the next gate opens at which somebody waits, by time alone.
    pub(super) fn looks(&mut self, now: Timestamp) -> Option<Timestamp> {
        let gates: Vec<GateId> = self.gates.keys().cloned().collect();
        gates
            .iter()
            .filter_map(|gate| match self.opening(gate, now) {
                Opening::At(then) => Some(then),
                Opening::Now | Opening::Later => None,
            })
            .min()
    }

    /// Takes out all that wait at gates that stay shut beyond then, each with when its gate opens.
    pub(super) fn give_up(&mut self, now: Timestamp, then: Timestamp) -> Vec<(Ticket, Timestamp)> {
        let gates: Vec<GateId> = self.gates.keys().cloned().collect();
        let mut out = Vec::new();
        for gate in gates {
            let Opening::At(opens) = self.opening(&gate, now) else {
                continue;
            };
            if opens <= then {
                continue;
            }
            let Some(waiting) = self.gates.remove(&gate) else {
                continue;
            };
            for (cycle, members) in waiting.cycles {
                for ticket in members.requests.into_values().flatten() {
                    out.push((ticket, opens));
                    self.tidy(&gate, &cycle);
                }
            }
        }
        // A map has no order that is the same again.
        out.sort_unstable();
        out
    }
}
