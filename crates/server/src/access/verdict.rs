//! What each kind of caller is answered at each route, as it is meant.
//!
//! This decides nothing: the gates and [`super::Guarded`] do. `docs/access.md` shows it, and a test holds the real
//! server against it, route by route.

use velodrome_types::Role;

use super::guarded::{Gate, RouteRule, Who};

/// A kind of caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// Without token and cookie.
    Nobody,
    /// With a token that is not known, was revoked or has expired.
    WrongToken,
    /// With a token of this role.
    Token(Role),
    /// With the cookie of an admin's session, and without the CSRF token that its pages hold.
    Cookie,
    /// With both, from a page of this server.
    CookieAndCsrf,
    /// With both, from a page of another server.
    Elsewhere,
    /// With an admin's token, under another server's name.
    OtherHost,
}

impl Asker {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::Nobody,
        Self::WrongToken,
        Self::Token(Role::Metrics),
        Self::Token(Role::Read),
        Self::Token(Role::Operate),
        Self::Token(Role::Admin),
        Self::Cookie,
        Self::CookieAndCsrf,
        Self::Elsewhere,
        Self::OtherHost,
    ];

    /// What it is called in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::WrongToken => "wrong token",
            Self::Token(role) => role.as_str(),
            Self::Cookie => "cookie",
            Self::CookieAndCsrf => "cookie, CSRF",
            Self::Elsewhere => "foreign `Origin`",
            Self::OtherHost => "foreign `Host`",
        }
    }
}

/// What a caller is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// What the route answers.
    In,
    /// 303 to the sign-in.
    SignIn,
    /// This status with this code.
    Refused(u16, &'static str),
}

impl RouteRule {
    /// What this kind of caller is answered here. A route that is open to anybody looks at `Host` and `Origin` by
    /// rules of its own.
    pub fn verdict(&self, asker: Asker) -> Verdict {
        let Who::Role(gate, needed) = self.who else {
            return Verdict::In;
        };
        let looks = self.method == "GET";
        match asker {
            Asker::Nobody if gate == Gate::Console && looks => Verdict::SignIn,
            Asker::Nobody | Asker::WrongToken => Verdict::Refused(401, "api.unauthenticated"),
            Asker::Token(role) if !role.allows(needed) => Verdict::Refused(403, "api.forbidden"),
            Asker::Cookie if !looks => Verdict::Refused(403, "api.csrf_refused"),
            Asker::Elsewhere => Verdict::Refused(403, "api.origin_refused"),
            Asker::OtherHost => Verdict::Refused(403, "api.host_refused"),
            Asker::Token(_) | Asker::Cookie | Asker::CookieAndCsrf => Verdict::In,
        }
    }
}
