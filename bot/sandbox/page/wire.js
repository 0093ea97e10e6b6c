// What the page sends to the server.

// Returns what the server answered with, or `{ refused }`: one sentence for the person.
export async function send(path, body) {
  let answer;
  try {
    answer = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
  } catch {
    return { refused: "The demo cannot be reached: it may have ended." };
  }
  if (!answer.ok) return { refused: await answer.text() };
  return answer.status === 204 ? {} : answer.json();
}
