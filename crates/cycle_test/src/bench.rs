//! What every test of a file stands on.

use std::collections::HashMap;
use std::sync::Arc;

use velodrome_connect::{Connection, EgressRules};
use velodrome_runtime::HeldFiles;
use velodrome_script::ScriptHost;
use velodrome_spec::Plan;
use velodrome_spec::connector::ConnectorDef;

/// A cycle on the bench, with the cycles and connections that its runs come to.
#[derive(Clone, Debug)]
pub struct Bench {
    /// The cycle under test.
    pub plan: Arc<Plan>,
    /// Cycles that it hands off to, and that these do.
    pub others: Vec<Arc<Plan>>,
    /// The files of all of them.
    pub files: Arc<HeldFiles>,
    /// Every known connector, each with its definition's text.
    pub connectors: Vec<(Arc<ConnectorDef>, String)>,
    /// The connections that the cycles use; each counts as signed in.
    pub connections: Vec<Connection>,
    /// Where requests may go.
    pub egress: EgressRules,
    /// The most bytes of an answer.
    pub response_limit: u64,
    /// What cycles may read of the environment.
    pub env: HashMap<String, Option<String>>,
    /// Runs handlers.
    pub host: Arc<ScriptHost>,
}

impl Bench {
    /// Every cycle on the bench.
    pub(crate) fn plans(&self) -> impl Iterator<Item = &Arc<Plan>> {
        std::iter::once(&self.plan).chain(&self.others)
    }
}
