//! The walk through a script's syntax tree: what it names, calls and changes, and what cannot be.

use std::collections::BTreeSet;

use rhai::{AST, ASTNode, Dynamic, Expr, FnCallExpr, Position, Scope, Stmt};
use velodrome_spec::ScriptFault;
use velodrome_spec::plan::ScriptAnalysis;

use crate::analyse::fault;
use crate::closures;
use crate::hints::did_you_mean;
use crate::storage_fns::{self, Access};
use crate::vars::Var;
use crate::words::definition;

/// A function that nothing defines.
pub(crate) const UNKNOWN_FUNCTION: &str = "script.unknown_function";
/// A variable that nothing defines.
const UNKNOWN_VARIABLE: &str = "script.unknown_variable";
/// A variable that scripts cannot change.
const READ_ONLY: &str = "script.read_only";
/// A handler with parameters, or one whose name is nearly a handler's.
pub(crate) const HANDLER: &str = "script.handler";
/// A function without a name where it may not stand.
const CLOSURE: &str = "script.closure";

/// Nodes of a script that can be short: without loops and calls none is evaluated twice in one handler.
const SHORT_NODES: usize = 400;

/// Functions whose cost does not grow with data, or only as copying it does. All others may be long.
const QUICK: [&str; 16] = [
    "abs",
    "ceiling",
    "floor",
    "is_empty",
    "len",
    "log",
    "max",
    "min",
    "now",
    "parse_float",
    "parse_int",
    "round",
    "to_float",
    "to_int",
    "type_of",
    "uuid",
];

/// Every handler that something calls by name.
pub(crate) const HANDLERS: [&str; 13] = [
    "before_webhook",
    "after_webhook",
    "before_action",
    "after_action",
    "after_action_paging",
    "after_error",
    "action_condition",
    "run",
    "before_oauth2_authorise",
    "before_oauth2_token",
    "after_oauth2_token",
    "before_oauth2_refresh",
    "after_oauth2_refresh",
];

/// What was found.
pub(crate) struct Found {
    pub(crate) analysis: ScriptAnalysis,
    /// The variables that some function may change, by their number.
    pub(crate) changes: [bool; Var::COUNT],
    pub(crate) faults: Vec<ScriptFault>,
}

/// A walk in progress.
pub(crate) struct Walk<'a> {
    /// The engine's functions.
    known: &'a BTreeSet<String>,
    /// The script's.
    own: BTreeSet<String>,
    /// Names that functions without a name take over.
    captured: BTreeSet<String>,
    constants: &'a Scope<'a>,
    /// Functions that something calls.
    called: BTreeSet<String>,
    analysis: ScriptAnalysis,
    changes: [bool; Var::COUNT],
    faults: Vec<ScriptFault>,
    nodes: usize,
    /// Something stands in it that may take long.
    long: bool,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(known: &'a BTreeSet<String>, ast: &AST, constants: &'a Scope<'a>) -> Self {
        Self {
            known,
            own: ast
                .iter_functions()
                .map(|function| function.name.to_owned())
                .collect(),
            captured: closures::captured(ast),
            constants,
            called: BTreeSet::new(),
            analysis: ScriptAnalysis::default(),
            changes: [false; Var::COUNT],
            faults: Vec::new(),
            nodes: 0,
            long: false,
        }
    }

    /// Walks through it all. `code` is the text, for the places of functions.
    pub(crate) fn through(mut self, ast: &AST, code: &str) -> Found {
        ast.walk(&mut |path| {
            self.visit(path);
            true
        });
        self.handlers(ast, code);
        self.analysis.short = !self.long && self.nodes <= SHORT_NODES;
        Found {
            analysis: self.analysis,
            changes: self.changes,
            faults: self.faults,
        }
    }

    fn visit(&mut self, path: &[ASTNode<'_>]) {
        if closures::is_misplaced(path, &self.own) {
            self.misplaced_closure(path);
        }
        self.nodes += 1;
        if let Some(ASTNode::Stmt(Stmt::While(..) | Stmt::Do(..) | Stmt::For(..))) = path.last() {
            self.long = true;
        }
        match path.last() {
            Some(ASTNode::Expr(Expr::FnCall(call, at) | Expr::MethodCall(call, at)))
            | Some(ASTNode::Stmt(Stmt::FnCall(call, at))) => self.call(call, *at),
            Some(ASTNode::Expr(Expr::Variable(variable, short_index, at))) => {
                let (index, name, namespace, _) = &**variable;
                let local = index.is_some() || short_index.is_some();
                if !namespace.is_empty() {
                    let message = format!("there is no module to take `{name}` from");
                    self.faults
                        .push(fault(UNKNOWN_VARIABLE, message, None, *at));
                } else if !local {
                    self.variable(name, path, *at);
                }
            }
            // The engine's walk passes over the value of a `break`.
            Some(ASTNode::Stmt(Stmt::BreakLoop(Some(value), ..))) => {
                value.walk(&mut Vec::new(), &mut |inner| {
                    self.visit(inner);
                    true
                });
            }
            _ => {}
        }
    }

    fn misplaced_closure(&mut self, path: &[ASTNode<'_>]) {
        let at = match path.last() {
            Some(ASTNode::Expr(expr)) => expr.position(),
            _ => Position::NONE,
        };
        self.faults.push(fault(
            CLOSURE,
            "a function without a name can only be an argument of a list's functions",
            Some(
                "write it where it is used, such as `records.filter(|r| r.id == id)`, or give it a \
                 name with `fn`"
                    .to_owned(),
            ),
            at,
        ));
    }

    fn call(&mut self, call: &FnCallExpr, at: Position) {
        let name = call.name.as_str();
        if !name.starts_with(|c: char| c.is_alphabetic() || c == '_') || call.op_token.is_some() {
            return;
        }
        self.called.insert(name.to_owned());
        self.long |= self.own.contains(name) || !is_quick(name);
        if name == closures::CAPTURE {
            self.capture(&call.args);
        } else if !call.namespace.is_empty() {
            let message = format!("there is no module to take `{name}` from");
            self.faults.push(fault(UNKNOWN_FUNCTION, message, None, at));
        } else if let Some((family, access)) = storage_fns::of_name(name) {
            if access != Access::Keyless
                && let Some(key) = call.args.first().and_then(|key| self.literal(key))
            {
                let key = (family.as_str().to_owned(), key);
                if access.reads() {
                    self.analysis.reads.insert(key.clone());
                }
                if access.writes() {
                    self.analysis.writes.insert(key);
                }
            }
        } else if name == "for_each" && !self.own.contains(name) {
            // It gives its function the item only as `this`, and the number of it as the parameter.
            let hint = "write `for item in list { … }`".to_owned();
            let message = "`for_each` is off in handlers";
            self.faults
                .push(fault(UNKNOWN_FUNCTION, message, Some(hint), at));
        } else if !self.known.contains(name) && !self.own.contains(name) {
            let known = self.known.iter().chain(&self.own).map(String::as_str);
            let hint = meant(name, known);
            let message = format!("there is no function `{name}`");
            self.faults.push(fault(UNKNOWN_FUNCTION, message, hint, at));
        }
    }

    /// The text of a literal, or of a constant that stands for one.
    fn literal(&self, expr: &Expr) -> Option<String> {
        match expr {
            Expr::StringConstant(text, _) => Some(text.to_string()),
            Expr::IntegerConstant(number, _) => Some(number.to_string()),
            Expr::Variable(variable, None, _) if variable.0.is_none() => {
                let value = self.constants.get_value::<Dynamic>(&variable.1)?;
                let text = value.as_immutable_string_ref().ok()?;
                Some(text.to_string())
            }
            _ => None,
        }
    }

    fn variable(&mut self, name: &str, path: &[ASTNode<'_>], at: Position) {
        let usage = use_of(path);
        let Some(var) = Var::find(name) else {
            if self.constants.contains(name) {
                if matches!(usage, Use::Assigned) {
                    self.cannot_change(name, at);
                }
            } else if !self.own.contains(name) && !self.captured.contains(name) {
                let known = Var::ALL.iter().map(|var| var.as_str());
                let known = known.chain(self.constants.iter_raw().map(|(name, ..)| name));
                let hint = meant(name, known);
                let message = format!("there is no variable `{name}`");
                self.faults.push(fault(UNKNOWN_VARIABLE, message, hint, at));
            }
            return;
        };
        self.analysis.names.insert(name.to_owned());
        match usage {
            Use::Assigned if !var.is_writable() => self.cannot_change(name, at),
            Use::Assigned | Use::MaybeChanged => self.changes[var as usize] = true,
            Use::Read => {}
        }
    }

    fn cannot_change(&mut self, name: &str, at: Position) {
        let message = format!("`{name}` cannot be changed");
        self.faults.push(fault(READ_ONLY, message, None, at));
    }

    /// A local variable that a function without a name takes over, and whose name the engine would
    /// look up first.
    fn capture(&mut self, captured: &[Expr]) {
        for expr in captured {
            let Expr::Variable(variable, short_index, at) = expr else {
                continue;
            };
            let name = variable.1.as_str();
            let local = variable.0.is_some() || short_index.is_some();
            if local && (Var::find(name).is_some() || self.constants.contains(name)) {
                let message = format!("here `{name}` could be the local variable or the engine's");
                let hint = Some("give the local variable another name".to_owned());
                self.faults.push(fault(CLOSURE, message, hint, *at));
            }
        }
    }

    fn handlers(&mut self, ast: &AST, code: &str) {
        for function in ast.iter_functions() {
            let name = function.name;
            let (line, column) = definition(code, name).unwrap_or((1, 1));
            let at = |code, message, hint| ScriptFault {
                code,
                message,
                hint,
                line,
                column,
            };
            if HANDLERS.contains(&name) {
                if function.params.is_empty() {
                    self.analysis.handlers.insert(name.to_owned());
                } else {
                    let message = format!("the handler `{name}` takes no parameters");
                    let hint = "what it works on is in variables such as `method_response`";
                    self.faults
                        .push(at(HANDLER, message, Some(hint.to_owned())));
                }
            } else if function.params.is_empty()
                && !self.called.contains(name)
                && let Some(meant) = did_you_mean(name, HANDLERS)
            {
                let message = format!("nothing calls `{name}`");
                let hint = format!("did you mean the handler `{meant}`?");
                self.faults.push(at(HANDLER, message, Some(hint)));
            }
        }
    }
}

fn is_quick(name: &str) -> bool {
    let stored = storage_fns::of_name(name).is_some_and(|(_, access)| access != Access::Keyless);
    stored || QUICK.contains(&name)
}

fn meant<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    did_you_mean(name, known).map(|meant| format!("did you mean `{meant}`?"))
}

/// What happens to a variable where it stands.
enum Use {
    Read,
    Assigned,
    MaybeChanged,
}

/// Looks up from a variable: through the fields and places of it that are named, to what is done there.
/// A method may change what it is called on. As an argument a variable is copied.
fn use_of(path: &[ASTNode<'_>]) -> Use {
    let mut nodes = path.iter().rev();
    let Some(&ASTNode::Expr(mut top)) = nodes.next() else {
        return Use::Read;
    };
    for node in nodes {
        match *node {
            ASTNode::Expr(chain @ (Expr::Dot(parts, ..) | Expr::Index(parts, ..)))
                if std::ptr::eq(&parts.lhs, top) =>
            {
                if calls_a_method(&parts.rhs) {
                    return Use::MaybeChanged;
                }
                top = chain;
            }
            ASTNode::Stmt(Stmt::Assignment(parts)) if std::ptr::eq(&parts.1.lhs, top) => {
                return Use::Assigned;
            }
            _ => return Use::Read,
        }
    }
    Use::Read
}

fn calls_a_method(chain: &Expr) -> bool {
    match chain {
        Expr::MethodCall(..) => true,
        Expr::Dot(parts, ..) | Expr::Index(parts, ..) => {
            calls_a_method(&parts.lhs) || calls_a_method(&parts.rhs)
        }
        _ => false,
    }
}
