//! Who may call a webhook, as the server asks before anything of a request is believed.
//!
//! The server looks at addresses, origins and signatures; here stands what they are held against. The
//! version of a cycle whose rules let a request in is the one that takes it.

use std::sync::Arc;

use secrecy::SecretString;
use velodrome_core::evaluate_static;
use velodrome_spec::Plan;
use velodrome_spec::callers::{AuthKind, Authentication, WebhookAuth, WebhookDefaults};
use velodrome_spec::expr::Expr;
use velodrome_spec::plan::{StepIx, WebhookStep};
use velodrome_types::{CycleId, CycleState};

use crate::accept::not_taking;
use crate::api::{HookAuth, HookSecret, IpNet, Problem, Scheme};
use crate::shared::Shared;

/// A webhook as it stood when a request for it came.
#[derive(Clone, Debug)]
pub struct Hook {
    pub(crate) plan: Arc<Plan>,
    at: StepIx,
    defaults: Arc<WebhookDefaults>,
    auth: HookAuth,
}

impl Hook {
    /// The webhook that a path names; none where nothing there could take a request, and the engine says
    /// why.
    pub(crate) fn find(
        shared: &Shared,
        cycle: &str,
        step: Option<&str>,
    ) -> Result<Option<Self>, Problem> {
        let cycle = CycleId::from(cycle);
        let Some(plan) = shared.plans.current(&cycle) else {
            return Ok(None);
        };
        let at = match step {
            None => Some(plan.trigger),
            Some(step) => plan.find(step),
        };
        let Some((at, webhook)) = at.and_then(|at| Some((at, plan.webhook(at)?))) else {
            return Ok(None);
        };
        let (defaults, exposed) = shared.plans.callers();
        let said = match &webhook.auth {
            WebhookAuth::Unsaid => &defaults.auth,
            said => said,
        };
        let auth = match said {
            // The last good version of a file that says too little by now: nobody is let in.
            WebhookAuth::Unsaid if exposed => {
                return Err(not_taking(&cycle, CycleState::Invalid));
            }
            WebhookAuth::Unsaid | WebhookAuth::None => HookAuth::Anybody,
            WebhookAuth::Required(auth) => required(shared, auth),
        };
        Ok(Some(Self {
            at,
            plan,
            defaults,
            auth,
        }))
    }

    fn webhook(&self) -> &WebhookStep {
        let webhook = self.plan.webhook(self.at);
        webhook.expect("it was found as one")
    }

    /// Who may call.
    pub fn auth(&self) -> &HookAuth {
        &self.auth
    }

    /// The addresses that may call; empty is any.
    pub fn allow_ips(&self) -> &[IpNet] {
        &self.webhook().allow_ips
    }

    /// The web pages that may call, as browsers write their origins.
    pub fn origins(&self) -> &[String] {
        &self.webhook().origins
    }

    /// Whose word on the caller's address is taken.
    pub fn trusted_proxies(&self) -> &[IpNet] {
        &self.defaults.trusted_proxies
    }
}

/// The secrets as they are now. One that is not set, or empty, lets nobody pass. The line break at the
/// end of a file is none of a secret's.
fn required(shared: &Shared, auth: &Authentication) -> HookAuth {
    let text = |expr: &Expr| {
        evaluate_static(expr, shared)
            .map_err(|error| format!("nobody can call with a secret that is not there: {error}"))
    };
    let scheme = match &auth.kind {
        AuthKind::Bearer => Scheme::Bearer,
        AuthKind::Basic { user } => match text(user) {
            Ok(user) => Scheme::Basic { user },
            Err(why) => {
                return HookAuth::Required {
                    scheme: Scheme::Basic {
                        user: String::new(),
                    },
                    secrets: vec![Err(why)],
                };
            }
        },
        AuthKind::Hmac(scheme) => Scheme::Hmac(scheme.clone()),
        AuthKind::StandardWebhooks => Scheme::StandardWebhooks,
        AuthKind::Github => Scheme::Github,
        AuthKind::Stripe => Scheme::Stripe,
        AuthKind::Slack => Scheme::Slack,
        AuthKind::Shopify => Scheme::Shopify,
    };
    let usable = |secret: String| match secret.trim_end_matches(['\r', '\n']) {
        "" => Err("nobody can call with an empty secret".to_owned()),
        secret => Ok(SecretString::from(secret)),
    };
    let secrets = auth.secrets.iter();
    let secrets: Vec<HookSecret> = secrets
        .map(|secret| text(secret).and_then(usable))
        .collect();
    HookAuth::Required { scheme, secrets }
}
