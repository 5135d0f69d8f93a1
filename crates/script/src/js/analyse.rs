//! What is in a script in JavaScript, as far as its words tell, and what is surely wrong with it.
//!
//! Handlers are functions at the top level: `function before_action() {}`, and what is assigned to the name
//! there. Variables count as named wherever their name stands, as a word or as a text of its own. Keys are
//! seen where a storage function is called by its name with a literal first, or with a `const` of one.

use std::collections::{BTreeSet, HashMap};

use velodrome_spec::ScriptFault;
use velodrome_spec::plan::ScriptAnalysis;

use crate::errors::{SYNTAX, lower_first};
use crate::hints::did_you_mean;
use crate::js::natives::{THROWS, names};
use crate::js::tokens::{Kind, Places, Shifts, Token, literal, place, tokens};
use crate::storage_fns::{self, Access};
use crate::vars::Var;
use crate::walk::{HANDLER, HANDLERS, UNKNOWN_FUNCTION};

/// What was found.
pub(crate) struct Read {
    pub(crate) analysis: ScriptAnalysis,
    pub(crate) faults: Vec<ScriptFault>,
    /// The text with a note at each `throw` of something that is no new error, if there is one.
    pub(crate) noted: Option<String>,
    pub(crate) shifts: Shifts,
}

/// Reads a text that is known to be JavaScript.
pub(crate) fn read(code: &str) -> Read {
    let tokens = tokens(code);
    let mut reader = Reader {
        code,
        constants: constants(&tokens),
        counts: counts(&tokens),
        defined: defined(&tokens),
        tokens: &tokens,
        analysis: ScriptAnalysis::default(),
        faults: Vec::new(),
    };
    for at in 0..tokens.len() {
        reader.name(at);
        reader.call(at);
        reader.handler(at);
    }
    let Reader {
        analysis, faults, ..
    } = reader;
    let (noted, shifts) = note_throws(code, &tokens);
    Read {
        analysis,
        faults,
        noted,
        shifts,
    }
}

struct Reader<'a> {
    code: &'a str,
    tokens: &'a [Token<'a>],
    /// `const` at the top level with a literal.
    constants: HashMap<&'a str, String>,
    /// How often each word stands in it.
    counts: HashMap<&'a str, u32>,
    /// Names that the script gives to something.
    defined: BTreeSet<&'a str>,
    analysis: ScriptAnalysis,
    faults: Vec<ScriptFault>,
}

impl Reader<'_> {
    fn before(&self, at: usize) -> Option<&Token<'_>> {
        self.tokens.get(at.checked_sub(1)?)
    }

    fn after_is(&self, at: usize, text: &str) -> bool {
        self.tokens.get(at + 1).is_some_and(|next| next.is(text))
    }

    /// Whether the word at `at` is a field of something.
    fn is_field(&self, at: usize) -> bool {
        let dot = self
            .before(at)
            .is_some_and(|before| before.is(".") || before.is("?."));
        let global = at.checked_sub(2).is_some_and(|of| {
            let of = &self.tokens[of];
            of.is("this") || of.is("globalThis")
        });
        dot && !global
    }

    fn name(&mut self, at: usize) {
        let token = &self.tokens[at];
        let named = match token.kind {
            Kind::Word if !self.is_field(at) => Some(token.text.to_owned()),
            // `this["method_response"]`
            Kind::Text | Kind::Template => literal(token),
            _ => None,
        };
        if let Some(name) = named.filter(|name| Var::find(name).is_some()) {
            self.analysis.names.insert(name);
        }
    }

    fn call(&mut self, at: usize) {
        let token = self.tokens[at];
        if token.kind != Kind::Word || !self.after_is(at, "(") || self.is_field(at) {
            return;
        }
        let name = token.text;
        if self.defined.contains(name) {
            return;
        }
        if let Some((family, access)) = storage_fns::of_name(name) {
            if access != Access::Keyless
                && let Some(key) = self.key(at + 2)
            {
                let key = (family.as_str().to_owned(), key);
                if access.reads() {
                    self.analysis.reads.insert(key.clone());
                }
                if access.writes() {
                    self.analysis.writes.insert(key);
                }
            }
        } else if name.contains("_storage_") || name.starts_with("cyclr_") {
            let known: Vec<String> = names().collect();
            if known.iter().any(|known| known == name) {
                return;
            }
            let hint = did_you_mean(name, known.iter().map(String::as_str));
            let hint = hint.map(|meant| format!("did you mean `{meant}`?"));
            let message = format!("there is no function `{name}`");
            self.fault(UNKNOWN_FUNCTION, message, hint, at);
        }
    }

    /// A literal that is the whole first argument.
    fn key(&self, at: usize) -> Option<String> {
        let token = self.tokens.get(at)?;
        if !self.after_is(at, ",") && !self.after_is(at, ")") {
            return None;
        }
        match token.kind {
            Kind::Word => self.constants.get(token.text).cloned(),
            _ => literal(token),
        }
    }

    fn handler(&mut self, at: usize) {
        let token = self.tokens[at];
        if token.kind != Kind::Word || token.depth != 0 || self.is_field(at) {
            return;
        }
        let name = token.text;
        let function = self.is_function(at);
        if HANDLERS.contains(&name) {
            if function || self.after_is(at, "=") {
                self.analysis.handlers.insert(name.to_owned());
            }
            return;
        }
        let no_parameters =
            self.after_is(at, "(") && self.tokens.get(at + 2).is_some_and(|after| after.is(")"));
        if function
            && no_parameters
            && self.counts.get(name) == Some(&1)
            && let Some(meant) = did_you_mean(name, HANDLERS)
        {
            let hint = Some(format!("did you mean the handler `{meant}`?"));
            self.fault(HANDLER, format!("nothing calls `{name}`"), hint, at);
        }
    }

    /// Whether the word at `at` is the name in `function name`.
    fn is_function(&self, at: usize) -> bool {
        self.before(at).is_some_and(|before| {
            before.is("function")
                || (before.is("*")
                    && at
                        .checked_sub(2)
                        .is_some_and(|of| self.tokens[of].is("function")))
        })
    }

    fn fault(&mut self, code: &'static str, message: String, hint: Option<String>, at: usize) {
        let (line, column) = place(self.code, self.tokens[at].at);
        self.faults.push(ScriptFault {
            code,
            message,
            hint,
            line,
            column,
        });
    }
}

fn counts<'a>(tokens: &[Token<'a>]) -> HashMap<&'a str, u32> {
    let mut counts = HashMap::new();
    for token in tokens {
        *counts.entry(token.text).or_default() += 1;
    }
    counts
}

/// Names behind `function`, `var`, `let`, `const` and `class`, and those that something is assigned to.
fn defined<'a>(tokens: &[Token<'a>]) -> BTreeSet<&'a str> {
    let declares = ["function", "var", "let", "const", "class", ","];
    let generators = tokens
        .windows(3)
        .filter(|three| three[0].is("function") && three[1].is("*") && three[2].kind == Kind::Word)
        .map(|three| three[2].text);
    let pairs = tokens.windows(2);
    let declared = pairs
        .filter(|pair| pair[1].kind == Kind::Word && declares.iter().any(|word| pair[0].is(word)))
        // In a list of arguments a comma stands before what is called, too.
        .filter(|pair| !pair[0].is(",") || pair[1].depth == 0)
        .map(|pair| pair[1].text);
    let assigned = tokens
        .windows(2)
        .filter(|pair| pair[0].kind == Kind::Word && pair[1].is("="))
        .map(|pair| pair[0].text);
    declared.chain(generators).chain(assigned).collect()
}

fn constants<'a>(tokens: &[Token<'a>]) -> HashMap<&'a str, String> {
    let ends = |token: Option<&Token<'_>>| {
        token.is_none_or(|token| {
            token.is(";") || token.is(",") || (token.first_of_line && token.kind == Kind::Word)
        })
    };
    let mut found = HashMap::new();
    for at in 0..tokens.len() {
        if let Some([word, name, equals, value]) = tokens[at..].first_chunk::<4>()
            && word.is("const")
            && word.depth == 0
            && equals.is("=")
            && ends(tokens.get(at + 4))
            && let Some(text) = literal(value)
        {
            found.insert(name.text, text);
        }
    }
    found
}

/// Puts a call in front of what is thrown, so that its place is known: `throw note(3, 5),'No page.'`.
fn note_throws(code: &str, tokens: &[Token<'_>]) -> (Option<String>, Shifts) {
    let mut noted = String::new();
    let mut shifts = Shifts::default();
    let mut done = 0;
    // Bytes that were put into this line already.
    let (mut on, mut moved) = (0, 0);
    let mut places = Places::of(code);
    for (at, token) in tokens.iter().enumerate() {
        if !token.is("throw") {
            continue;
        }
        let field = at.checked_sub(1).is_some_and(|before| {
            let before = &tokens[before];
            before.is(".") || before.is("?.") || before.is("{") && is_key(tokens, at)
        });
        let thrown = tokens.get(at + 1);
        let other = thrown.is_none_or(|next| {
            next.first_of_line
                || [":", "=", ",", ";", ")", "}", "new"]
                    .iter()
                    .any(|sign| next.is(sign))
        });
        if field || other {
            continue;
        }
        let (line, column) = places.at(token.at);
        let end = token.at + token.text.len();
        if line != on {
            (on, moved) = (line, 0);
        }
        // As the engine would tell it: with all that stands before it now.
        let note = format!(" {THROWS}({line},{}),", column + moved);
        noted.push_str(&code[done..end]);
        noted.push_str(&note);
        shifts.note(places.at(end), note.len());
        moved += u32::try_from(note.len()).unwrap_or(0);
        done = end;
    }
    if done == 0 {
        return (None, shifts);
    }
    noted.push_str(&code[done..]);
    (Some(noted), shifts)
}

/// Whether the `throw` at `at` is the name of a method: `{ throw(error) { … } }`.
fn is_key(tokens: &[Token<'_>], at: usize) -> bool {
    let Some(open) = tokens.get(at + 1).filter(|open| open.is("(")) else {
        return false;
    };
    let close = tokens[at + 2..]
        .iter()
        // No method has so many parameters; a text made of openings must not be read over and over.
        .take(1_000)
        .position(|token| token.is(")") && token.depth == open.depth);
    close.is_some_and(|close| tokens.get(at + 3 + close).is_some_and(|next| next.is("{")))
}

/// An error's message, as our messages are: a fragment that names things in backticks.
pub(crate) fn message(text: &str) -> String {
    if let Some(name) = text.strip_suffix(" is not defined") {
        return format!(
            "there is no variable or function `{}`",
            name.trim_matches('\'')
        );
    }
    let mut quoted = text.split('\'');
    let mut message = lower_first(quoted.next().unwrap_or_default());
    // Quotes come in pairs; a lone one is an apostrophe.
    if text.matches('\'').count().is_multiple_of(2) {
        for part in quoted {
            message.push('`');
            message.push_str(part);
        }
        return message;
    }
    lower_first(text)
}

/// A syntax error with what it may come from.
pub(crate) fn with_hint(fault: ScriptFault, code: &str) -> ScriptFault {
    if fault.code != SYNTAX || fault.hint.is_some() {
        return fault;
    }
    let tokens = tokens(code);
    let rhai = tokens
        .windows(2)
        .find(|pair| pair[0].is("fn") && pair[1].kind == Kind::Word);
    let module = tokens
        .iter()
        .find(|token| token.depth == 0 && (token.is("import") || token.is("export")));
    let hint = match (rhai, module) {
        (Some(_), _) => Some(
            "this looks like Rhai (`fn`): write `function` and `null`, or say `language: rhai`",
        ),
        (None, Some(_)) => Some("there are no modules to import from: write the functions here"),
        _ => None,
    };
    ScriptFault {
        hint: hint.map(str::to_owned),
        ..fault
    }
}
