// Sends the claim. The set-up token is what stands behind the # of the link; it is removed from the address at once.
"use strict";

const token = location.hash.slice(1);
history.replaceState(null, "", location.pathname);

const form = document.getElementById("form");
const message = document.getElementById("message");
const button = form.querySelector("button");

if (!token) {
  button.disabled = true;
  message.textContent = "This link is not complete. Run “coffer setup-link” on the machine to get a new one.";
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  button.disabled = true;
  message.textContent = "";
  const body = { setup_token: token, email: form.email.value, password: form.password.value };
  try {
    const response = await fetch("/api/v1/operator/claim", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    const answer = await response.json();
    if (response.ok) {
      form.hidden = true;
      document.getElementById("intro").textContent = "Done. This installation is yours.";
      message.textContent = "Sign in with POST /api/v1/operator/login, or look around at /docs.";
    } else {
      message.textContent = (answer.errors || [{ message: answer.detail }]).map((it) => it.message).join("; ");
      button.disabled = false;
    }
  } catch (error) {
    message.textContent = "The server did not answer: " + error.message;
    button.disabled = false;
  }
});
