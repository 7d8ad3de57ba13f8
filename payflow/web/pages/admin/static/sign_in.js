// A link that signs in is used up by a form, so that nothing that only looks at it uses it up. For people it is a click.
"use strict";

document.querySelector("form[data-send]")?.requestSubmit();
