//! Scripts through the public interface: what handlers see and leave, what is refused before they run,
//! and how hostile ones end.

mod analysis;
mod both;
mod functions;
mod handlers;
mod hostile;
mod hostile_javascript;
mod javascript;
mod support;
