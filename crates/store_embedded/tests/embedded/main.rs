//! The embedded store from outside.

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod contents;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod in_folder;
#[cfg(test)]
mod journal;
