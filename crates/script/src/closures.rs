//! Where a function without a name may stand: only as an argument of a list's or object's own functions.
//!
//! One that takes variables from around it shares them. Kept in a variable, it could hold itself, and
//! what holds itself is never freed; or it could hold another, that one another, and so on without any
//! limit seeing it, until dropping the chain takes more stack than there is. As an argument it lives no
//! longer than the call.

use rhai::{ASTNode, Expr, FnCallExpr, FnPtr, Stmt};

/// The functions that take one.
const TAKERS: [&str; 18] = [
    "all",
    "dedup",
    "drain",
    "filter",
    "find",
    "find_map",
    "for_each",
    "index_of",
    "map",
    "order",
    "order_by",
    "reduce",
    "reduce_rev",
    "retain",
    "some",
    "sort",
    "sort_by",
    "zip",
];

/// What the parser calls the step that gives a function its outer variables.
const CAPTURE: &str = "curry";

/// Whether the last node of `path` is a function without a name in a place where it may not stand.
pub(crate) fn is_misplaced(path: &[ASTNode<'_>]) -> bool {
    let Some((node, above)) = path.split_last() else {
        return false;
    };
    let is_closure = match node {
        ASTNode::Expr(Expr::DynamicConstant(value, _)) => value.is::<FnPtr>(),
        ASTNode::Expr(Expr::FnCall(call, _)) => call.name == CAPTURE,
        _ => false,
    };
    is_closure && !is_argument(above)
}

/// Whether the nearest call above takes functions. A capture counts as its own argument's taker: it is
/// looked at itself.
fn is_argument(above: &[ASTNode<'_>]) -> bool {
    for node in above.iter().rev() {
        match node {
            ASTNode::Expr(Expr::FnCall(call, _) | Expr::MethodCall(call, _))
            | ASTNode::Stmt(Stmt::FnCall(call, _)) => return takes(call),
            // The parser puts a capture into a block of its own, behind the sharing of its variables.
            ASTNode::Expr(Expr::Stmt(_)) | ASTNode::Stmt(Stmt::Expr(_) | Stmt::Block(_)) => {}
            _ => return false,
        }
    }
    false
}

fn takes(call: &FnCallExpr) -> bool {
    call.name == CAPTURE || TAKERS.contains(&call.name.as_str())
}
