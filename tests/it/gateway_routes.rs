//! What the server says about itself.

use coffer::testing::Instance;

#[tokio::test]
async fn the_public_learns_that_it_runs_and_the_operator_learns_how() {
    let coffer = Instance::start().await;
    for path in ["/livez", "/readyz", "/api/gateway/status", "/api/gateway/health"] {
        let answer = coffer.nobody().get(path).await.expect(200);
        assert_eq!(answer.body, serde_json::json!({ "status": "ok" }), "{path}");
    }
    let health = coffer.operator().get("/api/gateway/health").await.expect(200);
    let modules = health.body["health"].as_array().unwrap();
    assert!(modules.iter().all(|it| it["status"] == "ok"), "{modules:#?}");
    let balance = coffer.operator().get("/api/gateway/modules/balance").await.expect(200);
    assert!(balance.body["tables"].as_array().unwrap().contains(&"balance.entries".into()));
    coffer.nobody().get("/api/gateway/modules/nothing").await.refused(404, "not_found");
}

#[tokio::test]
async fn an_unknown_path_and_an_unknown_method_are_problem_documents() {
    let coffer = Instance::start().await;
    let answer = coffer.key().get("/nothing").await.refused(404, "not_found");
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    assert_eq!(answer.headers["x-request-id"], answer.body["request_id"].as_str().unwrap());
    coffer.key().send(hyper::Method::DELETE, "/users", None).await.refused(405, "method_not_allowed");
}

#[tokio::test]
async fn every_refusal_has_a_page() {
    let coffer = Instance::start().await;
    for line in coffer.catalogue().refusals {
        let (status, code) = line.split_once(' ').unwrap();
        let page = coffer.nobody().get(&format!("/docs/errors/{code}")).await.expect(200);
        assert_eq!(page.body["code"], code);
        assert_eq!(page.body["status"].to_string(), status);
        assert!(!page.body["about"].as_str().unwrap().is_empty(), "{code} says when it happens");
    }
    coffer.nobody().get("/docs/errors/nothing").await.refused(404, "not_found");
}

#[tokio::test]
async fn the_viewer_needs_no_network_and_the_metrics_no_credential_from_here() {
    let coffer = Instance::start().await;
    let page = coffer.nobody().get("/docs").await.expect(200);
    let text = page.body.as_str().unwrap();
    assert!(!text.contains("http://") && !text.contains("https://"), "{text}");
    for file in ["swagger-ui.css", "swagger-ui-bundle.js", "start.js", "favicon-32x32.png"] {
        coffer.nobody().get(&format!("/docs/{file}")).await.expect(200);
    }
    let metrics = coffer.nobody().get("/metrics").await.expect(200);
    assert!(metrics.body.as_str().unwrap().contains("coffer_store_commits_total"));
}
