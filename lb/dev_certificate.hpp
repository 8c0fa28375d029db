// The certificate of `weir run --dev`.
#pragma once
#include <string>

#include "config/environment.hpp"

namespace weir {

/// ${XDG_STATE_HOME:-$HOME/.local/state}/weir/dev.pem, which is made when it isn't there or soon no longer valid:
/// whoever has told a browser to trust it need not do that again at each start. Throws std::runtime_error, with what to
/// do. `environment` gets it as its stand_in.
void use_dev_certificate(config::Environment& environment);
/// The same for `weir check --dev`, which writes nothing: a certificate that is thrown away.
void imagine_dev_certificate(config::Environment& environment);

}  // namespace weir
