//! What pages are shown in: the window's size and the colours that its user prefers.

use serde_json::{Value, json};

/// The colours that the user prefers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

/// A window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// CSS pixels.
    pub width: u32,
    /// CSS pixels.
    pub height: u32,
    /// Its colours.
    pub scheme: Scheme,
}

impl View {
    /// A desktop's.
    pub const DESKTOP: Self = Self {
        width: 1280,
        height: 800,
        scheme: Scheme::Light,
    };
    /// A small telephone's.
    pub const NARROW: Self = Self {
        width: 360,
        height: 780,
        scheme: Scheme::Light,
    };

    /// The same in dark.
    #[must_use]
    pub fn dark(self) -> Self {
        Self {
            scheme: Scheme::Dark,
            ..self
        }
    }

    pub(super) fn commands(self) -> [(&'static str, Value); 2] {
        let scheme = match self.scheme {
            Scheme::Light => "light",
            Scheme::Dark => "dark",
        };
        let features = [
            json!({"name": "prefers-color-scheme", "value": scheme}),
            // Pictures and checks are of how a page comes to rest.
            json!({"name": "prefers-reduced-motion", "value": "reduce"}),
        ];
        let size = json!({
            "width": self.width, "height": self.height, "deviceScaleFactor": 1, "mobile": false,
        });
        [
            ("Emulation.setEmulatedMedia", json!({"features": features})),
            ("Emulation.setDeviceMetricsOverride", size),
        ]
    }
}
