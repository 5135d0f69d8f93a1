//! The connections of a test: nothing is sent anywhere, so nothing must be said of them.

use std::sync::Arc;

use velodrome_connect::Connection;
use velodrome_spec::connector::ConnectorDef;
use velodrome_spec::test_file::TestFile;
use velodrome_types::{ConnectionId, Json};

/// What a setting is that nobody said and that has no default, and what every secret is.
pub const PLACEHOLDER: &str = "test";

/// A connection with the settings of a test file, else those that are declared, else their defaults.
pub fn connection(
    name: &str,
    def: &Arc<ConnectorDef>,
    declared: impl IntoIterator<Item = (String, Json)>,
    file: &TestFile,
) -> Connection {
    let mut connection = Connection::with_defaults(ConnectionId::from(name), Arc::clone(def));
    let settings = &mut connection.settings;
    settings.extend(declared);
    let said = file
        .settings
        .iter()
        .filter(|settings| settings.connection.value == name)
        .flat_map(|settings| &settings.values);
    settings.extend(said.map(|(setting, value)| (setting.value.clone(), value.clone())));
    for setting in def.settings.keys() {
        settings
            .entry(setting.clone())
            .or_insert_with(|| Json::from(PLACEHOLDER));
    }
    connection
}
