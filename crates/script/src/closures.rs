//! Where a function without a name may stand: only as an argument of a list's or object's own functions.
//!
//! One that takes variables from around it shares them. Kept in a variable, it could hold itself, and
//! what holds itself is never freed; or it could hold another, that one another, and so on without any
//! limit seeing it, until dropping the chain takes more stack than there is. As an argument it lives no
//! longer than the call.

use std::collections::BTreeSet;

use rhai::{AST, ASTNode, Expr, FnPtr, Stmt};

/// The functions that take one: as their first argument, `zip` as its second. Any other they might keep,
/// as `reduce` gives back what it begins with.
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
pub(crate) const CAPTURE: &str = "curry";

/// What the parser begins the name of a function without a name with.
const ANONYMOUS: &str = "anon$";

/// Whether the last node of `path` is a function without a name in a place where it may not stand.
/// `own` are the functions of the script itself, which may do with their arguments what they like.
pub(crate) fn is_misplaced(path: &[ASTNode<'_>], own: &BTreeSet<String>) -> bool {
    let Some((&ASTNode::Expr(closure), above)) = path.split_last() else {
        return false;
    };
    let is_closure = match closure {
        Expr::DynamicConstant(value, _) => value.is::<FnPtr>(),
        Expr::FnCall(call, _) => call.name == CAPTURE,
        _ => false,
    };
    is_closure && !is_argument(closure, above, own)
}

/// Whether the nearest call above takes a function in this place. A capture is looked at itself, so
/// what it captures for is well placed.
fn is_argument(closure: &Expr, above: &[ASTNode<'_>], own: &BTreeSet<String>) -> bool {
    let mut argument = closure;
    for node in above.iter().rev() {
        let (call, place) = match *node {
            ASTNode::Expr(Expr::MethodCall(call, _)) => (call, 0),
            ASTNode::Expr(Expr::FnCall(call, _)) | ASTNode::Stmt(Stmt::FnCall(call, _)) => {
                (call, 1)
            }
            // The parser puts a capture into a block of its own, behind the sharing of its variables.
            ASTNode::Expr(block @ Expr::Stmt(_)) => {
                argument = block;
                continue;
            }
            ASTNode::Stmt(Stmt::Expr(_) | Stmt::Block(_)) => continue,
            _ => return false,
        };
        if call.name == CAPTURE {
            return true;
        }
        let place = if call.name == "zip" { place + 1 } else { place };
        let stands_there = call
            .args
            .get(place)
            .is_some_and(|taken| std::ptr::eq(taken, argument));
        let name = call.name.as_str();
        return stands_there && TAKERS.contains(&name) && !own.contains(name);
    }
    false
}

/// The names that functions without a name take over. In their bodies the tree does not say that such a
/// name is a parameter; where it is taken over, it is checked like any other. Written parameters are in
/// the set too, and do no harm there.
pub(crate) fn captured(ast: &AST) -> BTreeSet<String> {
    ast.iter_functions()
        .filter(|function| function.name.starts_with(ANONYMOUS))
        .flat_map(|function| function.params)
        .map(str::to_owned)
        .collect()
}
