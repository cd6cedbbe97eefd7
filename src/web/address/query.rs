//! Parameters of a query that say nothing about the page: which they are, and dropping them.
//!
//! Names are compared as they stand, escapes that need not be already decoded, without case.

use anyhow::{Result, bail, ensure};

/// What links carry to tell where a visitor came from.
const TRACKING: &[&str] = &[
    "utm_*",
    "gclid",
    "gclsrc",
    "dclid",
    "gbraid",
    "wbraid",
    "fbclid",
    "msclkid",
    "yclid",
    "twclid",
    "ttclid",
    "igshid",
    "mc_cid",
    "mc_eid",
    "_ga",
    "_gl",
    "_hsenc",
    "_hsmi",
    "mkt_tok",
    "oly_enc_id",
    "oly_anon_id",
    "vero_id",
    "wickedid",
    "mtm_*",
    "pk_campaign",
    "pk_kwd",
    "pk_source",
    "pk_medium",
];

/// Names that are only used for sessions.
const SESSION: &[&str] = &["jsessionid", "phpsessid", "aspsessionid*", "cfid", "cftoken"];

/// Names that are also used for other things: only with a value that looks like a session's id.
const MAYBE_SESSION: &[&str] = &["sid", "sessid", "session", "sessionid", "session_id", "zenid"];

/// Which parameters go.
#[derive(Clone, Debug, Default)]
pub(super) struct Drop {
    names: Vec<Pattern>,
    sessions: bool,
}

/// A name with at most one `*`, in small letters: what is before it, and what is after.
#[derive(Clone, Debug)]
struct Pattern(String, Option<String>);

impl Drop {
    pub(super) fn new(patterns: &[String]) -> Result<Self> {
        let mut drop = Self::default();
        for pattern in patterns {
            match pattern.as_str() {
                "@session" => drop.sessions = true,
                "@tracking" => drop.names.extend(TRACKING.iter().map(|name| Pattern::new(name))),
                set if set.starts_with('@') => {
                    bail!(
                        "there is no set of parameters `{set}`; there are `@session`, `@tracking`"
                    )
                }
                name => {
                    ensure!(!name.is_empty(), "an empty name drops nothing; leave it out");
                    ensure!(
                        name.matches('*').count() <= 1,
                        "`{name}` has more than one `*`; write two patterns"
                    );
                    drop.names.push(Pattern::new(name));
                }
            }
        }
        if drop.sessions {
            drop.names.extend(SESSION.iter().map(|name| Pattern::new(name)));
        }
        Ok(drop)
    }

    /// A path without session ids, if it has any: `;jsessionid=…` (Java) and `/(S(…))` (ASP.NET).
    pub(super) fn without_sessions(&self, path: &str) -> Option<String> {
        if !self.sessions || !path.contains([';', '(']) {
            return None;
        }
        let kept = path.split('/').filter(|segment| !is_asp_session(segment)).map(|segment| {
            let parts = segment.split(';').enumerate();
            let kept = parts.filter(|&(idx, part)| idx == 0 || !is_java_session(part));
            kept.map(|(_, part)| part).collect::<Vec<_>>().join(";")
        });
        Some(kept.collect::<Vec<_>>().join("/"))
    }

    /// What is kept of a query, if anything goes.
    pub(super) fn without_dropped(&self, query: &str) -> Option<String> {
        if self.names.is_empty() && !self.sessions {
            return None;
        }
        let kept: Vec<_> = query.split('&').filter(|part| !self.drops(part)).collect();
        if kept.len() == query.split('&').count() {
            return None;
        }
        Some(kept.join("&"))
    }

    fn drops(&self, parameter: &str) -> bool {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        self.names.iter().any(|pattern| pattern.is(name))
            || self.sessions
                && MAYBE_SESSION.iter().any(|known| name.eq_ignore_ascii_case(known))
                && is_session_id(value)
    }
}

impl Pattern {
    fn new(text: &str) -> Self {
        let text = text.to_ascii_lowercase();
        match text.split_once('*') {
            Some((before, after)) => Self(before.to_owned(), Some(after.to_owned())),
            None => Self(text, None),
        }
    }

    fn is(&self, name: &str) -> bool {
        let (name, before) = (name.as_bytes(), self.0.as_bytes());
        let Some(after) = &self.1 else { return name.eq_ignore_ascii_case(before) };
        let after = after.as_bytes();
        name.len() >= before.len() + after.len()
            && name[..before.len()].eq_ignore_ascii_case(before)
            && name[name.len() - after.len()..].eq_ignore_ascii_case(after)
    }
}

fn is_java_session(part: &str) -> bool {
    let name = part.split('=').next().unwrap_or(part);
    name.eq_ignore_ascii_case("jsessionid")
}

/// `(S(lit3py55t21z5v55vlm25s55))`, also with other letters of ASP.NET's in front.
fn is_asp_session(segment: &str) -> bool {
    let inside = segment.strip_prefix('(').and_then(|rest| rest.strip_suffix("))"));
    let id = inside.and_then(|inside| inside.rsplit_once("S(")).map(|(_, id)| id);
    id.is_some_and(|id| id.len() == 24 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// Long, of one word, and with a digit in it: `8f14e45fceea167a`.
fn is_session_id(value: &str) -> bool {
    value.len() >= 16
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.,!".contains(&byte))
        && value.bytes().any(|byte| byte.is_ascii_digit())
}

/// The parameters in the order of their names.
pub(super) fn sorted(query: &str) -> String {
    let mut parts: Vec<_> = query.split('&').filter(|part| !part.is_empty()).collect();
    parts.sort_by_key(|part| part.split('=').next().unwrap_or(part).to_owned());
    parts.join("&")
}
